package jobs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// digestDomain begins what is hashed for an approval. It changes with what the digest covers or how that is written, so that an
// approval of another version never counts for this one.
const digestDomain = "bandfleet job approval v1"

// approvalDigest is what an approval holds for: everything that decides what the job does, where and when. A plugin's hash
// stands for its manifest, and so for the effects that the action can have.
func approvalDigest(rec *storagev1.JobRecord) string {
	d := &digester{sum: sha256.New()}
	job := rec.GetJob()
	d.add(digestDomain)
	d.field("job", job.GetId())
	d.field("action", job.GetAction())
	d.field("version", job.GetActionVersion())
	d.field("dry run", strconv.FormatBool(job.GetDryRun()))
	d.field("targets", rec.GetTargetsDigest())
	d.list("plugins", rec.GetPluginSha256())
	d.count("params", len(job.GetParams()))
	for _, name := range sortedKeys(job.GetParams()) {
		d.field(name, job.GetParams()[name])
	}
	d.rollout(job.GetRollout())
	d.time("not before", job.GetNotBefore())
	d.time("expires", job.GetExpires())
	d.field("break glass", job.GetBreakGlass())
	d.count("in use", int(job.GetInUse()))
	if sum := rec.GetSecretsSha256(); sum != "" {
		d.field("secrets", sum)
	}
	return hex.EncodeToString(d.sum.Sum(nil))
}

// digester hashes texts, each after its length: no two lists of texts look alike.
type digester struct{ sum hash.Hash }

func (d *digester) add(text string) {
	d.sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
	d.sum.Write([]byte(text))
}

func (d *digester) field(name, value string) { d.add(name); d.add(value) }

func (d *digester) count(name string, n int) { d.field(name, strconv.Itoa(n)) }

func (d *digester) list(name string, values []string) {
	d.count(name, len(values))
	for _, v := range values {
		d.add(v)
	}
}

// time writes "" for a time that is not set.
func (d *digester) time(name string, t *timestamppb.Timestamp) {
	text := ""
	if t != nil {
		text = fmt.Sprintf("%d.%09d", t.GetSeconds(), t.GetNanos())
	}
	d.field(name, text)
}

func (d *digester) rollout(r *fleetv1.Rollout) {
	d.count("waves", len(r.GetWaves()))
	for _, w := range r.GetWaves() {
		d.amount("wave", w)
	}
	d.amount("at once", r.GetMaxConcurrent())
	d.amount("at once on a site", r.GetMaxConcurrentPerSite())
	d.field("floor", r.GetFloor().GetLabel())
	d.count("working", int(r.GetFloor().GetWorking()))
	d.amount("errors", r.GetMaxErrors())
	d.count("errors in a row", int(r.GetMaxConsecutive()))
	d.field("soak", r.GetSoak().AsDuration().String())
	d.count("on limit", int(r.GetOnLimit()))
}

func (d *digester) amount(name string, a *fleetv1.Amount) {
	switch a := a.GetAmount().(type) {
	case *fleetv1.Amount_Count:
		d.count(name, int(a.Count))
	case *fleetv1.Amount_Percent:
		d.field(name, strconv.Itoa(int(a.Percent))+"%")
	default:
		d.field(name, "")
	}
}
