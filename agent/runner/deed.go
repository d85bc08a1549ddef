package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

// deed is how one effect is done and undone. There is one file for each kind; which capability a kind needs is in package
// proto/rights.
type deed interface {
	// resource is what it touches, for people and as a key: `service "W3SVC"`, `file "endpoint/nbe.toml"`. Deeds with the same resource are
	// put back together, once.
	resource() string
	// check says what is wrong with the effect itself.
	check(a *actionv1.Action) error
	// timeout bounds do.
	timeout() time.Duration
	inverse() actionv1.Inverse
	// read returns the state of the resource.
	read(ctx context.Context) (*actionv1.State, error)
	// do does it, and refuses when before is not what the effect says that it must be. It returns the state that it came to when reading
	// it again could not tell, else nil.
	do(ctx context.Context, before *actionv1.State) (*actionv1.State, error)
	// reached returns nil when now is as the effect leaves the machine, else an error that says what it is.
	reached(now *actionv1.State) error
	// restore puts back what was before the first touch, while what is there is still the course's own. Its outcome OBLIGATION means that it
	// is worth another try. It is not called when the inverse is none.
	restore(ctx context.Context, t touch) *actionv1.Undo
}

// restless is a deed on something that changes by itself and needs time to come to rest, and that a start of the machine changes.
type restless interface {
	rest(ctx context.Context, limit time.Duration) (*actionv1.State, error)
}

// work is what a deed belongs to.
type work struct {
	r *Runner
	// key is the task that asks for it, or that asked for it once.
	key    *agentv1.TaskKey
	planID string
	// before is the recorded state before it, and asked when it was begun; nil and zero while it was not.
	before *actionv1.State
	asked  time.Time
	// c is nil when the task has ended: what is left then is to put back.
	c *course
}

var errUnknownKind = errors.New("it is of a kind that this agent does not know; update the agent")

// deedOf returns how an effect is done.
func (w work) deedOf(e *actionv1.Effect) (deed, error) {
	switch k := e.GetEffect().(type) {
	case *actionv1.Effect_ServiceStop:
		return w.stopDeed(k.ServiceStop), nil
	case *actionv1.Effect_ServiceStart:
		return w.startDeed(k.ServiceStart), nil
	case *actionv1.Effect_ServiceKill:
		return w.killDeed(k.ServiceKill), nil
	case *actionv1.Effect_ConfigEdit:
		return w.configDeed(k.ConfigEdit), nil
	case *actionv1.Effect_FileCopy:
		return w.copyDeed(k.FileCopy), nil
	case *actionv1.Effect_FileRemove:
		return w.removeDeed(k.FileRemove), nil
	case *actionv1.Effect_RegistrySet:
		return w.registryDeed(k.RegistrySet), nil
	case *actionv1.Effect_Reboot:
		return w.rebootDeed(k.Reboot), nil
	case *actionv1.Effect_Collect:
		return collectDeed{w, k.Collect}, nil
	case *actionv1.Effect_LeaseRelease:
		return releaseDeed{work: w, id: k.LeaseRelease.GetId()}, nil
	}
	return w.machineDeed(e)
}

// deedOf returns how an effect of this course is done.
func (c *course) deedOf(planID string, e *actionv1.Effect) (deed, error) {
	return work{r: c.r, key: c.key(), planID: planID, c: c}.deedOf(e)
}

// begun returns how an effect with a record is done, judged and put back.
func (w work) begun(record *actionv1.RecordedEffect) (deed, error) {
	w.planID, w.before, w.asked = record.GetPlanId(), record.GetBefore(), record.GetStarted().AsTime()
	return w.deedOf(record.GetEffect())
}

// changesNothing says whether an effect leaves the machine as it is: a run that was interrupted in it has done nothing by it.
func changesNothing(e *actionv1.Effect) bool {
	switch e.GetEffect().(type) {
	case *actionv1.Effect_Confirm, *actionv1.Effect_Collect, *actionv1.Effect_PeerProbe:
		return true
	}
	return false
}

// checkEffect says why an action may not have an effect.
func (c *course) checkEffect(planID string, e *actionv1.Effect) error {
	if e.GetConfirm() != nil {
		if e.GetLease() != nil {
			return errors.New("it changes nothing that could be put back")
		}
		if err := checkConfirm(e.GetConfirm(), c.action); err != nil {
			return err
		}
	} else if err := c.checkDeed(planID, e); err != nil {
		return err
	}
	needed := rights.OfEffect(e)
	if len(needed) == 0 {
		return errUnknownKind
	}
	return rights.Missing(c.action, needed...)
}

func (c *course) checkDeed(planID string, e *actionv1.Effect) error {
	d, err := c.deedOf(planID, e)
	if err != nil {
		return err
	}
	most := maxEffectTimeout
	if e.GetReboot() != nil {
		most = mostReboot
	}
	if limit := d.timeout(); limit <= 0 || limit > most {
		return fmt.Errorf("its timeout is %s, want more than 0s and at most %s", limit, most)
	}
	return errors.Join(checkLease(e, d), d.check(c.action))
}

// look reads the resource of a deed and contains a panic of the host.
func look(ctx context.Context, d deed) (*actionv1.State, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return contained(func() (*actionv1.State, error) { return d.read(ctx) })
}

// atRest reads the resource of a deed once it has come to rest.
func atRest(ctx context.Context, d deed) (*actionv1.State, error) {
	if s, ok := d.(restless); ok {
		return contained(func() (*actionv1.State, error) { return s.rest(ctx, settleTimeout) })
	}
	return look(ctx, d)
}

// same says whether two states of a resource are one as far as anybody who put it back would care.
func same(a, b *actionv1.State) bool {
	switch {
	case a.GetService() != nil && b.GetService() != nil:
		return a.GetService().GetStatus() == b.GetService().GetStatus() && a.GetService().GetPid() == b.GetService().GetPid()
	case fileOf(a) != nil && fileOf(b) != nil:
		return *fileOf(a) == *fileOf(b)
	case a.GetRegistry() != nil && b.GetRegistry() != nil:
		return a.GetRegistry().GetExists() == b.GetRegistry().GetExists() && a.GetRegistry().GetData() == b.GetRegistry().GetData()
	}
	return proto.Equal(a, b)
}

// fileContent tells one content of a file from another, and from no file.
type fileContent struct {
	exists bool
	sha256 string
}

// fileOf returns what a state says of a file's content, nil when it is of no file. Of a configuration file the hash tells all.
func fileOf(s *actionv1.State) *fileContent {
	switch {
	case s.GetConfig() != nil:
		return &fileContent{s.GetConfig().GetExists(), s.GetConfig().GetSha256()}
	case s.GetFile() != nil:
		return &fileContent{s.GetFile().GetExists(), s.GetFile().GetSha256()}
	}
	return nil
}
