package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// probeTimeout is how long one connection may take.
	probeTimeout = 3 * time.Second
	// budget is how long probes may be begun: the whole takes less than half a minute.
	budget = 25 * time.Second
)

// exam is one look at a machine. What several checks need is read once.
type exam struct {
	r     *sdk.Run
	begun time.Time
	// timeout is how long one probe may take.
	timeout time.Duration
	count   map[actionv1.FindingLevel]int
	// first is the first problem, or the first warning when there is no problem.
	first *actionv1.Finding

	site    once[*actionv1.Surroundings]
	iis     once[*actionv1.IISInventory]
	machine once[*actionv1.MachineState]
	host    once[*actionv1.HostState]
	stores  map[string]*once[[]*actionv1.Certificate]
}

func newExam(r *sdk.Run, timeout time.Duration) *exam {
	return &exam{r: r, begun: time.Now(), timeout: timeout, count: map[actionv1.FindingLevel]int{}, stores: map[string]*once[[]*actionv1.Certificate]{}}
}

// once keeps an answer.
type once[T any] struct {
	asked bool
	value T
	err   error
}

func (o *once[T]) get(ask func() (T, error)) (T, error) {
	if !o.asked {
		o.asked = true
		o.value, o.err = ask()
	}
	return o.value, o.err
}

func (e *exam) siteFacts(ctx context.Context) (*actionv1.Surroundings, error) {
	return e.site.get(func() (*actionv1.Surroundings, error) { return e.r.Site(ctx) })
}

// crlLocation is where IIS publishes the revocation lists.
const crlLocation = "Default Web Site/crl"

func (e *exam) webServer(ctx context.Context) (*actionv1.IISInventory, error) {
	return e.iis.get(func() (*actionv1.IISInventory, error) { return e.r.IIS(ctx, crlLocation) })
}

func (e *exam) machineFacts(ctx context.Context) (*actionv1.MachineState, error) {
	return e.machine.get(func() (*actionv1.MachineState, error) { return e.r.MachineState(ctx) })
}

func (e *exam) hostFacts(ctx context.Context) (*actionv1.HostState, error) {
	return e.host.get(func() (*actionv1.HostState, error) { return e.r.Host(ctx) })
}

func (e *exam) store(ctx context.Context, name string) ([]*actionv1.Certificate, error) {
	if e.stores[name] == nil {
		e.stores[name] = new(once[[]*actionv1.Certificate])
	}
	return e.stores[name].get(func() ([]*actionv1.Certificate, error) { return e.r.Certificates(ctx, name) })
}

// found records a finding.
func (e *exam) found(f *actionv1.Finding) {
	e.count[f.GetLevel()]++
	worse := e.first == nil || f.GetLevel() > e.first.GetLevel()
	if f.GetLevel() >= actionv1.FindingLevel_FINDING_LEVEL_WARNING && worse {
		e.first = f
	}
	e.r.Finding(f)
}

// good records that something is as expected.
func (e *exam) good(rule, subject, value, expected string) {
	e.found(&actionv1.Finding{Rule: rule, Level: actionv1.FindingLevel_FINDING_LEVEL_GOOD, Subject: subject, Value: value, Expected: expected})
}

// unknown records that something cannot be told here.
func (e *exam) unknown(rule, subject, expected, why string) {
	e.found(&actionv1.Finding{
		Rule: rule, Level: actionv1.FindingLevel_FINDING_LEVEL_UNKNOWN, Subject: subject, Value: "not known", Expected: expected, Message: why,
	})
}

// judge records good, or bad at a level with what to do.
func (e *exam) judge(ok bool, level actionv1.FindingLevel, rule, subject, value, expected, message string) {
	if ok {
		e.good(rule, subject, value, expected)
		return
	}
	e.found(&actionv1.Finding{Rule: rule, Level: level, Subject: subject, Value: value, Expected: expected, Message: message})
}

const (
	warning = actionv1.FindingLevel_FINDING_LEVEL_WARNING
	problem = actionv1.FindingLevel_FINDING_LEVEL_PROBLEM
)

// timeLeft says whether another probe may be begun.
func (e *exam) timeLeft() bool { return time.Since(e.begun) < budget }

// tally counts what was found: "2 problems, 1 warning, 9 good, 1 unknown".
func (e *exam) tally() string {
	plural := func(n int, word string) string {
		if n != 1 {
			word += "s"
		}
		return fmt.Sprintf("%d %s", n, word)
	}
	return fmt.Sprintf("%s, %s, %d good, %d unknown", plural(e.count[problem], "problem"), plural(e.count[warning], "warning"),
		e.count[actionv1.FindingLevel_FINDING_LEVEL_GOOD], e.count[actionv1.FindingLevel_FINDING_LEVEL_UNKNOWN])
}

// nextStep is what to do about the worst, "" when all is well.
func (e *exam) nextStep() string {
	if e.first == nil {
		return ""
	}
	return fmt.Sprintf("%s: %s", e.first.GetRule(), e.first.GetMessage())
}
