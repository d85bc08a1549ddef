package guided

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// fillOfEntry gives a task what the catalogue says.
func (d *Desk) fillOfEntry(rec *storagev1.GuidedRecord, o Order, now time.Time) error {
	e := d.cfg.Catalogue().Entry(o.Entry)
	if e == nil {
		return errNoEntry(o.Entry)
	}
	if e.Person == nil || len(e.Person.Steps) == 0 {
		return errNoSteps(e.ID)
	}
	t, words := rec.GetTask(), placeholders(o)
	t.Entry, t.Title, t.Verify = e.ID, e.Title, words.Replace(e.Verify)
	t.Assignee = cmp.Or(t.GetAssignee(), e.Person.Assignee)
	t.Priority, t.EscalateTo = priorityNamed(e.Person.Priority), e.Person.Escalate
	t.OtherPerson, t.NameWanted = e.Person.OtherPerson, e.Person.Names
	t.Steps = steps(e.Person.Steps, words)
	if e.Person.Due > 0 {
		t.Due, rec.Patience = timestamppb.New(now.Add(e.Person.Due)), durationpb.New(e.Person.Due)
	}
	if wait := Lockout(failuresIn(o.Params)); wait > 0 {
		countDown(t, wait, now)
	}
	return nil
}

func steps(of []catalogue.PersonStep, words *strings.Replacer) (all []*fleetv1.GuidedStep) {
	for i, s := range of {
		step := &fleetv1.GuidedStep{Number: uint32(i + 1), Text: words.Replace(s.Do), Optional: s.Optional}
		if s.Timer > 0 {
			step.Timer = durationpb.New(s.Timer)
		}
		all = append(all, step)
	}
	return all
}

// countDown makes the step that waits wait as long as the band is locked, from now on. An entry that has none is given one.
func countDown(t *fleetv1.GuidedTask, wait time.Duration, now time.Time) {
	i := slices.IndexFunc(t.GetSteps(), func(s *fleetv1.GuidedStep) bool { return s.GetTimer() != nil })
	if i < 0 {
		i = len(t.GetSteps())
		t.Steps = append(t.Steps, &fleetv1.GuidedStep{Number: uint32(i + 1), Text: "Wait until the band is no longer locked, then authenticate again."})
	}
	t.Steps[i].Timer, t.Steps[i].TimerEnds = durationpb.New(wait), timestamppb.New(now.Add(wait))
}

// placeholders are what stands for what in the texts of an entry.
func placeholders(o Order) *strings.Replacer {
	pairs := []string{"{terminal}", o.terminalName, "{band}", o.Band, "{site}", o.Site}
	for name, value := range o.Params {
		pairs = append(pairs, "{"+name+"}", oneLine(value, maxParam))
	}
	if wait := Lockout(failuresIn(o.Params)); wait > 0 {
		pairs = append(pairs, "{lockout}", wait.String())
	}
	return strings.NewReplacer(pairs...)
}

func priorityNamed(word string) fleetv1.GuidedPriority {
	switch word {
	case "urgent":
		return fleetv1.GuidedPriority_GUIDED_PRIORITY_URGENT
	case "low":
		return fleetv1.GuidedPriority_GUIDED_PRIORITY_LOW
	default:
		return fleetv1.GuidedPriority_GUIDED_PRIORITY_NORMAL
	}
}

// entryOf finds the entry whose remedy is an action and that has steps for a person.
func (d *Desk) entryOf(action string) *catalogue.Entry {
	for _, e := range d.cfg.Catalogue().Entries() {
		if e.Person != nil && slices.ContainsFunc(e.Remedy.Steps, func(s catalogue.Step) bool { return s.Action == action }) {
			return e
		}
	}
	return nil
}
