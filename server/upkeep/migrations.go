package upkeep

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// migrations lead from the first schema to this release's, in order.
func migrations() []store.Migration {
	return []store.Migration{
		{
			From: 1,
			Add: []store.Table{
				store.TableImports, store.TableImportParts,
				store.TableArtifacts, store.TableArtifactJobs, store.TableArtifactTerminals, store.TableArtifactFiles,
				store.TableSecrets, store.TableCertificates, store.TableCertificateEnds, store.TableSchedules, store.TableScheduleRuns,
				store.TableGuided, store.TableGuidedOpen, store.TableGuidedDue, store.TableGuidedFiles,
				store.TablePacks,
				store.TableNotices, store.TableNoticeCursors, store.TableRoutes,
			},
			Rewrite: map[store.Table]func(key, value []byte) ([]byte, error){
				store.TableJobs: jobWithRollout,
			},
		},
	}
}

// jobWithRollout gives a job the rollout that it had without saying so: all at once, or so many at a time, whatever failed, whoever was
// at work. Its bound of what runs at once moves into it.
func jobWithRollout(_, value []byte) ([]byte, error) {
	rec := &storagev1.JobRecord{}
	if err := proto.Unmarshal(value, rec); err != nil {
		return nil, err
	}
	job := rec.GetJob()
	if job == nil {
		return nil, fmt.Errorf("it holds no job")
	}
	all := &fleetv1.Amount{Amount: &fleetv1.Amount_Percent{Percent: 100}}
	job.Rollout = &fleetv1.Rollout{Waves: []*fleetv1.Amount{all}, MaxConcurrent: all, OnLimit: fleetv1.LimitAction_LIMIT_ACTION_CONTINUE}
	if n := job.GetMaxConcurrent(); n > 0 { //nolint:staticcheck // this is what it is kept for
		job.Rollout.MaxConcurrent = &fleetv1.Amount{Amount: &fleetv1.Amount_Count{Count: n}}
	}
	job.MaxConcurrent = 0 //nolint:staticcheck // moved
	job.InUse, job.Attempt = fleetv1.InUse_IN_USE_PROCEED, 1
	rec.Servable, rec.Changes = job.GetCounts().GetTotal(), !job.GetDryRun()
	return proto.Marshal(rec)
}
