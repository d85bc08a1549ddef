package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// maxProgress bounds the progress lines of one phase that are passed on.
const maxProgress = 200

// phaseCalls answers the plugin during one phase. One call is answered at a time; when the phase is over none is.
type phaseCalls struct {
	c     *course
	phase actionv1.Phase
	// plan is what PHASE_APPLY is held to.
	plan *actionv1.Plan
	// ctx ends with the phase, and stop ends it.
	ctx  context.Context
	stop context.CancelCauseFunc

	mu       sync.Mutex
	closed   bool
	used     map[string]bool
	progress int
	// refused is the first request that the plugin had no right to make.
	refused *RefusedError
	// lacking is why the last query was not answered, when that is because this kind of machine has no such thing.
	lacking error
}

// close waits for a call that is still being answered and lets no other begin.
func (p *phaseCalls) close() {
	p.stop(errEnded)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// refuse ends the run: a plugin that asks for what it may not is not trusted with more.
func (p *phaseCalls) refuse(format string, args ...any) error {
	refused := &RefusedError{Message: fmt.Sprintf(format, args...)}
	if p.refused == nil {
		p.refused = refused
	}
	p.stop(refused)
	return refused
}

// open says whether a call may be answered.
func (p *phaseCalls) open() error {
	switch {
	case p.closed:
		return errEnded
	case p.refused != nil:
		return p.refused
	}
	return nil
}

// within bounds a call by the phase, whatever context the caller brought along.
func (p *phaseCalls) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	detach := context.AfterFunc(p.ctx, cancel)
	return ctx, func() {
		detach()
		cancel()
	}
}

// Query implements Calls.
func (p *phaseCalls) Query(ctx context.Context, q *actionv1.Query) (*actionv1.QueryResult, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.open(); err != nil {
		return nil, err
	}
	ctx, cancel := p.within(ctx)
	defer cancel()
	answer, err := contained(func() (*actionv1.QueryResult, error) { return p.query(ctx, q) })
	p.lacking = nil
	if errors.Is(err, host.ErrNotSupported) {
		p.lacking = err
	}
	return answer, err
}

// Effect implements Calls.
func (p *phaseCalls) Effect(ctx context.Context, req *actionv1.EffectRequest) (*actionv1.RecordedEffect, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.open(); err != nil {
		return nil, err
	}
	if err := p.admit(req); err != nil {
		return nil, err
	}
	ctx, cancel := p.within(ctx)
	defer cancel()
	return p.c.do(ctx, req)
}

// Wait implements Calls.
func (p *phaseCalls) Wait(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.open(); err != nil {
		return err
	}
	ctx, cancel := p.within(ctx)
	defer cancel()
	return sleep(ctx, d)
}

// Progress implements Calls.
func (p *phaseCalls) Progress(m *actionv1.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.progress == maxProgress {
		return
	}
	p.progress++
	p.c.r.report().Progress(p.c.key(), phaseName(p.phase), clip(m.GetMessage(), maxName))
}

// Evidence implements Calls.
func (p *phaseCalls) Evidence(e *actionv1.Evidence) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.c.result.saw(e.GetName(), e.GetValue())
	}
}

// Finding implements Calls.
func (p *phaseCalls) Finding(f *actionv1.Finding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.c.result.found(f)
	}
}

// Certificates implements Calls.
func (p *phaseCalls) Certificates(r *actionv1.CertificateReport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.c.result.certificates = proto.CloneOf(r)
	}
}

// sleep waits for d or ctx's end.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(0, d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
