// Package syscalls reads what strace saw of a program: which files and sockets it wrote to and when each write reached the disk. The
// tests of the order of sync and acknowledgement use it, because a kill does not lose what the kernel still holds, so no
// test that kills can show a missing sync.
package syscalls

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Call is one system call on an open file or socket.
type Call struct {
	Name string
	// File is the path of the file; a socket is "TCP:[address->address]".
	File         string
	Begun, Ended time.Time
	// Result is what the kernel answered: how many bytes, or below zero for an error.
	Result int
}

// Options are the options of strace whose output Read reads, with the output's file. Each sync of a file to the disk takes
// delay longer, so that whoever does not wait for it is seen. Only the program itself is traced, and a signal to the process that is
// started reaches it.
func Options(output string, delay time.Duration) []string {
	return []string{
		"strace", "-D", "-f", "-b", "execve", "-ttt", "-T", "-yy", "-s", "0", "-o", output,
		"-e", "trace=pwrite64,fdatasync,write,writev,sendmsg,sendto",
		"-e", fmt.Sprintf("inject=fdatasync:delay_enter=%d", delay.Microseconds()),
	}
}

var (
	begins  = regexp.MustCompile(`^(\d+) +(\d+\.\d+) (\w+)\(\d+<(TCP(?:v6)?:\[[^\]]*\]|[^>]*)>`)
	resumes = regexp.MustCompile(`^(\d+) +\d+\.\d+ <\.\.\. (\w+) resumed>`)
	ends    = regexp.MustCompile(` = (-?\d+)[^=]*<(\d+\.\d+)>$`)
)

// Read reads a trace, in the order in which the calls began. Calls that had not ended when the trace did are left out.
func Read(r io.Reader) ([]Call, error) {
	var calls []Call
	open := make(map[string]Call)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if m := begins.FindStringSubmatch(line); m != nil {
			at, err := stamp(m[2])
			if err != nil {
				return nil, err
			}
			open[m[1]] = Call{Name: m[3], File: m[4], Begun: at}
			calls = closed(calls, open, m[1], line)
		} else if m := resumes.FindStringSubmatch(line); m != nil {
			calls = closed(calls, open, m[1], line)
		}
	}
	slices.SortStableFunc(calls, func(a, b Call) int { return a.Begun.Compare(b.Begun) })
	return calls, lines.Err()
}

// closed adds a thread's open call when the line tells its end.
func closed(calls []Call, open map[string]Call, thread, line string) []Call {
	m := ends.FindStringSubmatch(line)
	c, ok := open[thread]
	if m == nil || !ok {
		return calls
	}
	delete(open, thread)
	took, err := time.ParseDuration(m[2] + "s")
	result, bad := strconv.Atoi(m[1])
	if err != nil || bad != nil {
		return calls
	}
	c.Result, c.Ended = result, c.Begun.Add(took)
	return append(calls, c)
}

// stamp reads seconds since 1970 with microseconds.
func stamp(text string) (time.Time, error) {
	seconds, fraction, _ := strings.Cut(text, ".")
	s, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	us, err := strconv.ParseInt(fraction, 10, 64)
	return time.Unix(s, us*int64(time.Microsecond)), err
}

// Commit is one transaction of a bbolt file: pages, a sync, a meta page, a sync.
type Commit struct {
	// Begun is its first write.
	Begun time.Time
	// Ended is when its second sync was done; zero when it was not.
	Ended time.Time
}

// Done says whether the commit was on disk at a time.
func (c Commit) Done(at time.Time) bool { return !c.Ended.IsZero() && !c.Ended.After(at) }

// Commits finds the transactions of the file whose path ends so.
func Commits(calls []Call, file string) []Commit {
	var commits []Commit
	syncs := 2 // of the latest commit: two end it
	for _, c := range calls {
		switch {
		case !strings.HasSuffix(c.File, file):
		case c.Name == "pwrite64" && syncs == 2:
			commits = append(commits, Commit{Begun: c.Begun})
			syncs = 0
		case c.Name == "fdatasync" && syncs < 2:
			if syncs++; syncs == 2 {
				commits[len(commits)-1].Ended = c.Ended
			}
		}
	}
	return commits
}

// Sent finds the writes to TCP connections of more than least bytes, begun in a time.
func Sent(calls []Call, least int, from, to time.Time) []Call {
	var sent []Call
	for _, c := range calls {
		if strings.HasPrefix(c.File, "TCP") && c.Result > least && !c.Begun.Before(from) && c.Begun.Before(to) {
			sent = append(sent, c)
		}
	}
	return sent
}
