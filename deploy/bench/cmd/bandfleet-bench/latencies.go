package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/deploy/bench/figures"
)

// latencies are the moments at which tasks ended for their agents. Safe for concurrent use.
type latencies struct {
	mu    sync.Mutex
	ended []time.Time
	// failed is the first error of an agent.
	failed error
}

func (l *latencies) end() {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = append(l.ended, now)
}

func (l *latencies) fail(agent int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = fmt.Errorf("agent %d: %w", agent, err)
	}
}

// since forgets what ended, after working out p50 and p99 in milliseconds from begun on. The clock is the machine's, which all
// processes share.
func (l *latencies) since(begun time.Time) (p50, p99 float64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return 0, 0, l.failed
	}
	var all []float64
	for _, at := range l.ended {
		all = append(all, milliseconds(at.Sub(begun)))
	}
	l.ended = l.ended[:0]
	return figures.Percentile(all, 50), figures.Percentile(all, 99), nil
}

// answerQuestions answers "latencies NANOSECONDS" lines until the input ends, which is when the benchmark has measured.
func (l *latencies) answerQuestions(in io.Reader, out io.Writer) error {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "latencies ")
		nanos, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil {
			return fmt.Errorf("%q: want latencies NANOSECONDS", lines.Text())
		}
		p50, p99, err := l.since(time.Unix(0, nanos))
		if err != nil {
			return err
		}
		fmt.Fprintln(out, p50, p99)
	}
	return nil
}
