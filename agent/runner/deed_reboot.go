package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

const (
	// mostReboot bounds the time from the request to start the machine again until the agent is back.
	mostReboot = 2 * time.Hour
	// maxMessage bounds what people at the machine are told, in bytes.
	maxMessage = 500
)

// errOpen says that it is not known yet what comes of an effect: its record stays open, and the next process of the agent completes it.
var errOpen = errors.New("the machine is being started again")

// rebootDeed starts the machine again.
type rebootDeed struct {
	work
	reboot *actionv1.Reboot
}

func (w work) rebootDeed(e *actionv1.Reboot) deed { return rebootDeed{w, e} }

func (d rebootDeed) resource() string          { return "this machine" }
func (d rebootDeed) inverse() actionv1.Inverse { return actionv1.Inverse_INVERSE_NONE }

// timeout is the longest time until the agent is back.
func (d rebootDeed) timeout() time.Duration {
	return max(0, d.reboot.GetDelay().AsDuration()) + d.reboot.GetBackWithin().AsDuration()
}

// check wants the machine for the run alone: whatever else ran would be cut off in the middle.
func (d rebootDeed) check(a *actionv1.Action) error {
	switch {
	case d.reboot.GetBootId() == "":
		return errors.New("it does not say which boot it ends")
	case d.reboot.GetDelay().AsDuration() < 0 || d.reboot.GetBackWithin().AsDuration() < time.Minute:
		return errors.New("its delay is negative, or the machine has less than 1m0s to be back")
	case len(d.reboot.GetMessage()) > maxMessage:
		return fmt.Errorf("its message has %d bytes, at most %d are allowed", len(d.reboot.GetMessage()), maxMessage)
	case !slices.Contains(claimFor(a), everything):
		return fmt.Errorf("the action starts the machine again and does not claim the resource %q", everything)
	case d.timeout() >= declaredDuration(a):
		return fmt.Errorf("it may take %s, want less than the action's max_duration, which is %s", d.timeout(), declaredDuration(a))
	}
	return nil
}

func (d rebootDeed) read(ctx context.Context) (*actionv1.State, error) {
	h, err := d.r.host.System.Describe(ctx)
	if err != nil {
		return nil, err
	}
	return &actionv1.State{State: &actionv1.State_Boot{Boot: &actionv1.BootState{BootId: h.GetBootId()}}}, nil
}

// do asks for the start and waits for the end of this process with it. A machine that goes on is a failure.
func (d rebootDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	if before.GetBoot().GetBootId() != d.reboot.GetBootId() {
		return nil, errors.New("this machine: was started again since the plan was made")
	}
	if err := d.r.host.System.Reboot(ctx, d.reboot.GetDelay().AsDuration(), d.reboot.GetMessage()); err != nil {
		return nil, err
	}
	<-ctx.Done()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, d.tooLate()
	}
	return nil, errOpen
}

func (d rebootDeed) tooLate() error {
	return fmt.Errorf("this machine: was not started again within %s", d.timeout())
}

func (d rebootDeed) reached(now *actionv1.State) error {
	if id := now.GetBoot().GetBootId(); id == "" || id == d.reboot.GetBootId() {
		return errors.New("this machine: is still in the boot that was to end")
	}
	return nil
}

func (d rebootDeed) restore(context.Context, touch) *actionv1.Undo {
	return &actionv1.Undo{Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, Reason: "a start of the machine cannot be undone"}
}

// rest waits for the start of the machine that was asked for: the agent alone may have been restarted in its delay.
func (d rebootDeed) rest(ctx context.Context, _ time.Duration) (*actionv1.State, error) {
	until := d.asked.Add(d.timeout())
	for {
		now, err := d.read(ctx)
		if err != nil || d.reached(now) == nil || !time.Now().Before(until) {
			return now, err
		}
		if err := sleep(ctx, watchEvery); err != nil {
			return nil, err
		}
	}
}

// awaitedBoot returns the record of the start of the machine that the course has asked for, nil when it has not.
func (c *course) awaitedBoot() *storagev1.JournalEffect {
	for _, e := range c.effects {
		if e.GetEffect().GetEffect().GetReboot() != nil {
			return e
		}
	}
	return nil
}

// leaving says whether the course waits for the start of the machine.
func (c *course) leaving() bool {
	e := c.awaitedBoot()
	return e != nil && !e.GetFinished()
}
