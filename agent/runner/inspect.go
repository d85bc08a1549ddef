package runner

import (
	"context"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Resource is what an effect touches, as it is now.
type Resource struct {
	// Name is what results call it.
	Name    string
	Inverse actionv1.Inverse
	State   *actionv1.State
}

// Inspect reads the resource that an effect touches, without doing the effect. Tests hold a machine by it to what a result says.
func Inspect(ctx context.Context, h *host.Host, e *actionv1.Effect) (Resource, error) {
	d, err := work{r: New(Config{Host: h})}.deedOf(e)
	if err != nil {
		return Resource{}, err
	}
	state, err := look(ctx, d)
	return Resource{Name: d.resource(), Inverse: d.inverse(), State: state}, err
}

// Same says whether two states of one resource are equal as far as undo goes by them: of a file its content counts, and not its time.
func Same(a, b *actionv1.State) bool { return same(a, b) }
