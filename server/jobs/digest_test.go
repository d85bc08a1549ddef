package jobs

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

func count(n uint32) *fleetv1.Amount {
	return &fleetv1.Amount{Amount: &fleetv1.Amount_Count{Count: n}}
}

func percent(n uint32) *fleetv1.Amount {
	return &fleetv1.Amount{Amount: &fleetv1.Amount_Percent{Percent: n}}
}

func digestible() *storagev1.JobRecord {
	return &storagev1.JobRecord{
		TargetsDigest: "t", PluginSha256: []string{"aa", "bb"},
		Job: &fleetv1.Job{
			Id: "J", Action: "ble-restart", ActionVersion: "1.0.0", Params: map[string]string{"a": "1", "b": "2"},
			Expires: timestamppb.New(time.Unix(7200, 0)), NotBefore: timestamppb.New(time.Unix(3600, 0)),
			Rollout: &fleetv1.Rollout{
				Waves: []*fleetv1.Amount{count(1), percent(100)}, MaxConcurrent: percent(10), MaxConcurrentPerSite: count(2),
				Floor: &fleetv1.Floor{Label: "zone", Working: 2}, MaxErrors: percent(20), MaxConsecutive: 3,
				Soak: durationpb.New(time.Minute), OnLimit: fleetv1.LimitAction_LIMIT_ACTION_PAUSE,
			},
			BreakGlass: "line down", InUse: fleetv1.InUse_IN_USE_WAIT,
		},
	}
}

// Whatever decides what a job does must be in what was approved.
func TestEveryCoveredFieldChangesTheDigest(t *testing.T) {
	for name, change := range map[string]func(*storagev1.JobRecord){
		"another job":              func(r *storagev1.JobRecord) { r.Job.Id = "K" },
		"action":                   func(r *storagev1.JobRecord) { r.Job.Action = "nymi-agent-restart" },
		"version":                  func(r *storagev1.JobRecord) { r.Job.ActionVersion = "1.0.1" },
		"targets":                  func(r *storagev1.JobRecord) { r.TargetsDigest = "u" },
		"a plugin":                 func(r *storagev1.JobRecord) { r.PluginSha256[1] = "cc" },
		"plugins in another order": func(r *storagev1.JobRecord) { r.PluginSha256 = []string{"bb", "aa"} },
		"plugins run together":     func(r *storagev1.JobRecord) { r.PluginSha256 = []string{"aabb"} },
		"secrets":                  func(r *storagev1.JobRecord) { r.SecretsSha256 = "ee" },
		"a parameter":              func(r *storagev1.JobRecord) { r.Job.Params["a"] = "2" },
		"a parameter's name":       func(r *storagev1.JobRecord) { delete(r.Job.Params, "a"); r.Job.Params["c"] = "1" },
		"one parameter more":       func(r *storagev1.JobRecord) { r.Job.Params["c"] = "" },
		"expiry":                   func(r *storagev1.JobRecord) { r.Job.Expires.Nanos++ },
		"not before":               func(r *storagev1.JobRecord) { r.Job.NotBefore.Seconds++ },
		"no not before":            func(r *storagev1.JobRecord) { r.Job.NotBefore = nil },
		"in use":                   func(r *storagev1.JobRecord) { r.Job.InUse = fleetv1.InUse_IN_USE_PROCEED },
		"break glass":              func(r *storagev1.JobRecord) { r.Job.BreakGlass = "" },
		"dry run":                  func(r *storagev1.JobRecord) { r.Job.DryRun = true },
		"a share for a number":     func(r *storagev1.JobRecord) { r.Job.Rollout.Waves[0] = percent(1) },
		"one wave less":            func(r *storagev1.JobRecord) { r.Job.Rollout.Waves = r.Job.Rollout.Waves[:1] },
	} {
		t.Run(name, func(t *testing.T) {
			rec := digestible()
			change(rec)
			if approvalDigest(rec) == approvalDigest(digestible()) {
				t.Errorf("%s leaves the digest as it is: an approval would hold for what nobody has seen", name)
			}
		})
	}
}

// A field that the rollout gets later must not be forgotten.
func TestEveryFieldOfTheRolloutChangesTheDigest(t *testing.T) {
	for _, m := range []proto.Message{&fleetv1.Rollout{}, &fleetv1.Floor{}} {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			rec := digestible()
			within := rec.GetJob().GetRollout().ProtoReflect()
			if _, floor := m.(*fleetv1.Floor); floor {
				within = rec.GetJob().GetRollout().GetFloor().ProtoReflect()
			}
			within.Clear(fields.Get(i))
			if approvalDigest(rec) == approvalDigest(digestible()) {
				t.Errorf("%s is not covered by the digest", fields.Get(i).FullName())
			}
		}
	}
}

// What the job's record tells of its course must not make approvals lapse.
func TestTheCourseOfAJobLeavesTheDigest(t *testing.T) {
	rec := digestible()
	rec.Job.Counts, rec.Job.Progress = &fleetv1.JobCounts{Total: 2}, &fleetv1.RolloutProgress{Wave: 2}
	rec.Job.Pause, rec.Job.State = &fleetv1.Pause{By: "bob"}, fleetv1.JobState_JOB_STATE_ACTIVE
	rec.Job.Approval = &fleetv1.ApprovalState{Needed: 2, Approvals: []*fleetv1.Approval{{By: "bob"}}}
	expect(t, "digest", approvalDigest(rec), approvalDigest(digestible()))
	again := &storagev1.JobRecord{}
	text, err := proto.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(text, again); err != nil {
		t.Fatal(err)
	}
	expect(t, "digest after it was stored", approvalDigest(again), approvalDigest(digestible()))
	expect(t, "its length", len(approvalDigest(rec)), 64)
}

// Every field of a job is either covered or known not to matter: a new one needs a decision.
func TestEveryFieldOfAJobIsDecidedOn(t *testing.T) {
	covered := map[protoreflect.Name]bool{
		"id": true, "action": true, "params": true, "dry_run": true, "expires": true, "rollout": true, "not_before": true,
		"break_glass": true, "in_use": true, "action_version": true,
		// By the digest of the targets.
		"selection": true, "sites": true,
		// What it was and what became of it.
		"reason": false, "requester": false, "created": false, "finished": false, "state": false, "max_concurrent": false,
		"counts": false, "cancelled": false, "cancelled_by": false, "cancel_reason": false, "progress": false, "pause": false, "past_pauses": false,
		"approval": false, "retry_of": false, "attempt": false, "schedule": false, "fault_id": false, "policy": false,
	}
	fields := (&fleetv1.Job{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if _, decided := covered[fields.Get(i).Name()]; !decided {
			t.Errorf("fleet.v1.Job.%s: say whether an approval covers it, in approvalDigest and here", fields.Get(i).Name())
		}
	}
}
