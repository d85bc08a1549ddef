package cli

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// TestEveryEffectAndStateHasWords: what an agent of this release can do and see, this fleetctl can say.
func TestEveryEffectAndStateHasWords(t *testing.T) {
	effect := new(actionv1.Effect)
	kinds := effect.ProtoReflect().Descriptor().Oneofs().ByName("effect").Fields()
	for i := range kinds.Len() {
		e := new(actionv1.Effect)
		e.ProtoReflect().Set(kinds.Get(i), e.ProtoReflect().NewField(kinds.Get(i)))
		if text := effectWord(e); strings.Contains(text, "does not know") || textOf(e).verb == "" {
			t.Errorf("effect %s is %q, want words for it", kinds.Get(i).Name(), text)
		}
	}
	states := new(actionv1.State).ProtoReflect().Descriptor().Oneofs().ByName("state").Fields()
	for i := range states.Len() {
		s := new(actionv1.State)
		s.ProtoReflect().Set(states.Get(i), s.ProtoReflect().NewField(states.Get(i)))
		if text := stateWord(s); text == "not known" {
			t.Errorf("state %s is %q, want words for it", states.Get(i).Name(), text)
		}
	}
}

func TestEffectWords(t *testing.T) {
	edit := &actionv1.Effect{
		Effect: &actionv1.Effect_ConfigEdit{ConfigEdit: &actionv1.ConfigEdit{Root: "nes", Path: "web.config", Changes: []*actionv1.ConfigChange{
			{Key: "Global", Before: proto.String("Information"), After: proto.String("Verbose")}, {Key: "New", After: proto.String("1")},
		}}},
		Lease: &actionv1.Lease{Ttl: durationpb.New(2 * time.Hour)},
	}
	bind := &actionv1.Effect{Effect: &actionv1.Effect_BindingSet{BindingSet: &actionv1.BindingSet{
		Before: &actionv1.Binding{Site: "Default Web Site", Address: "*", Port: 443, CertificateSha256: "aaaaaaaaaaaaaaaa"},
		After:  &actionv1.Binding{Site: "Default Web Site", Address: "*", Port: 443, CertificateSha256: "bbbbbbbbbbbbbbbb"},
	}}}
	for want, e := range map[string]*actionv1.Effect{
		"edit nes/web.config: Global Information → Verbose, New none → 1, goes back by itself after 2h":    edit,
		`bind https binding "Default Web Site" *:443 to certificate bbbbbbbbbbbb in place of aaaaaaaaaaaa`: bind,
		`set sslFlags of "Default Web Site/crl": Ssl → None`: {Effect: &actionv1.Effect_IisSet{IisSet: &actionv1.IISSet{
			Attribute: actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS, Object: "Default Web Site/crl", Before: "Ssl", After: "None"}}},
		`end lease "l-1"`: {Effect: &actionv1.Effect_LeaseRelease{LeaseRelease: &actionv1.LeaseRelease{Id: "l-1"}}},
	} {
		if got := effectWord(e); got != want {
			t.Errorf("the effect is written %q, want %q", got, want)
		}
	}
	result := &actionv1.TaskResult{Effects: []*actionv1.RecordedEffect{
		{Effect: edit, Changed: true}, {Effect: &actionv1.Effect{Effect: &actionv1.Effect_IisRecycle{IisRecycle: &actionv1.IISRecycle{Pool: "NES"}}}},
	}}
	if got, want := didWord(result), `edited nes/web.config; recycled application pool "NES"`; got != want {
		t.Errorf("what was done is written %q, want %q", got, want)
	}
}

// TestLeaseWords: a reader sees whether a change is still there, when it went back, and why it did not.
func TestLeaseWords(t *testing.T) {
	at := timestamppb.New(time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC))
	what := []string{`file "nes/web.config"`}
	for want, l := range map[string]*actionv1.LeaseState{
		`goes back by itself: file "nes/web.config" until 2026-11-24T10:00:00Z`: {Resources: what, Until: at},
		`file "nes/web.config": put back at 2026-11-24T10:00:00Z`:               {Resources: what, Ended: true, EndedAt: at, Tries: 1},
		`file "nes/web.config": has gone back`:                                  {Resources: what, Ended: true},
		`file "nes/web.config": ended at 2026-11-24T10:00:00Z; not put back: file "nes/web.config": somebody has changed it meanwhile`: {
			Resources: what, Ended: true, EndedAt: at, Outcome: `file "nes/web.config": somebody has changed it meanwhile`},
		`file "nes/web.config": cannot be put back yet: the disk is full, tried 3 times`: {Resources: what, Until: at, Tries: 3, LastError: "the disk is full"},
	} {
		if got := leasesWord([]*actionv1.LeaseState{l}); got != want {
			t.Errorf("the lease is written %q, want %q", got, want)
		}
	}
}
