package jobs

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// Bounds of what may be asked for.
const (
	defaultExpiry = time.Hour
	minExpiry     = time.Minute
	maxExpiry     = 30 * 24 * time.Hour
	// maxAhead is how far ahead a job may be put off.
	maxAhead  = 30 * 24 * time.Hour
	maxParams = 100
)

// checkSpec checks what needs neither targets nor manifests.
func checkSpec(spec *fleetv1.JobSpec, now time.Time) error {
	if field := unknownField(spec.ProtoReflect(), "spec"); field != "" {
		return errUnknownField(field).At(field)
	}
	if spec.GetAction() == "" {
		return refusal.New(refusal.Invalid, "NO_ACTION", "no action is named").At("spec.action").
			Then("name one; `fleetctl get actions` lists them")
	}
	if d := spec.GetExpiresIn(); d != nil {
		if !d.IsValid() || d.AsDuration() < minExpiry || d.AsDuration() > maxExpiry {
			return refusal.New(refusal.Invalid, "BAD_EXPIRY", "expires_in is %s, want 1m to 720h", d.AsDuration()).At("spec.expires_in").
				Then("give a time such as 2h")
		}
	}
	if n := len(spec.GetParams()); n > maxParams {
		return refusal.New(refusal.Invalid, "TOO_MANY_PARAMETERS", "%d parameters are given, no action takes more than %d", n, maxParams).At("spec.params").
			Then("see `fleetctl describe action %s`", clip(spec.GetAction(), maxShown))
	}
	if _, known := fleetv1.InUse_name[int32(spec.GetInUse())]; !known {
		return refusal.New(refusal.Invalid, "BAD_IN_USE", "in_use: %d is not known", spec.GetInUse()).At("spec.in_use").Then("give wait or proceed")
	}
	if err := checkNotBefore(spec.GetNotBefore(), now); err != nil {
		return err
	}
	if err := audit.CheckReason("spec.break_glass", spec.GetBreakGlass()); err != nil {
		return err
	}
	return audit.CheckReason("spec.reason", spec.GetReason())
}

// CheckKnown refuses a request with a field that this server does not know, which might bound what is asked for ("only at this site").
func CheckKnown(request proto.Message) error {
	if len(request.ProtoReflect().GetUnknown()) > 0 {
		return errUnknownField("request")
	}
	return nil
}

// CheckAllKnown refuses a request in which anything is not known to this server.
func CheckAllKnown(request proto.Message, name string) error {
	if field := unknownField(request.ProtoReflect(), name); field != "" {
		return errUnknownField(field).At(field)
	}
	return nil
}

func errUnknownField(of string) *refusal.Error {
	return refusal.New(refusal.Invalid, "UNKNOWN_FIELD", "%s: has a field that this server does not know: it is older than what asks it", of).
		Then("ask without what is new, or bring the server up to date")
}

func checkNotBefore(at *timestamppb.Timestamp, now time.Time) error {
	if at == nil || at.IsValid() && !at.AsTime().After(now.Add(maxAhead)) {
		return nil
	}
	return refusal.New(refusal.Invalid, "BAD_NOT_BEFORE", "not_before is no time within the next 30 days").At("spec.not_before").
		Then("give a time such as %s", now.Add(time.Hour).UTC().Format(time.RFC3339))
}

// unknownField finds what a newer client asks for and this server would leave out, which could make a job do more than was
// meant: "" when there is nothing.
func unknownField(m protoreflect.Message, path string) (found string) {
	if len(m.GetUnknown()) > 0 {
		return path
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := path + "." + string(f.Name())
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := 0; i < v.List().Len() && found == ""; i++ {
				found = unknownField(v.List().Get(i).Message(), fmt.Sprintf("%s[%d]", at, i))
			}
		default:
			found = unknownField(v.Message(), at)
		}
		return found == ""
	})
	return found
}
