package jobs

import (
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// bucket returns the count of tasks that ended with a status. A status of a later version counts as unknown.
func bucket(c *fleetv1.JobCounts, s actionv1.TaskStatus) *uint32 {
	switch s {
	case actionv1.TaskStatus_TASK_STATUS_SUCCEEDED:
		return &c.Succeeded
	case actionv1.TaskStatus_TASK_STATUS_NO_CHANGE:
		return &c.NoChange
	case actionv1.TaskStatus_TASK_STATUS_FAILED:
		return &c.Failed
	case actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK:
		return &c.RolledBack
	case actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED:
		return &c.RollbackFailed
	case actionv1.TaskStatus_TASK_STATUS_EXPIRED:
		return &c.Expired
	case actionv1.TaskStatus_TASK_STATUS_REFUSED:
		return &c.Refused
	case actionv1.TaskStatus_TASK_STATUS_CANCELLED:
		return &c.Cancelled
	case actionv1.TaskStatus_TASK_STATUS_CONFLICT:
		return &c.Conflict
	default:
		return &c.Unknown
	}
}

// recount moves one task from one status to another.
func recount(c *fleetv1.JobCounts, from, to actionv1.TaskStatus) {
	*bucket(c, from)--
	*bucket(c, to)++
}

// sumCounts adds up the counts of the sites that the reader sees.
func sumCounts(sites map[string]*fleetv1.JobCounts, seen scope) *fleetv1.JobCounts {
	sum := &fleetv1.JobCounts{}
	for site, c := range sites {
		if !seen(site) {
			continue
		}
		addCounts(sum, c)
	}
	return sum
}

func addCounts(sum, c *fleetv1.JobCounts) {
	sum.Total += c.GetTotal()
	sum.Waiting += c.GetWaiting()
	sum.Running += c.GetRunning()
	sum.Succeeded += c.GetSucceeded()
	sum.NoChange += c.GetNoChange()
	sum.Failed += c.GetFailed()
	sum.RolledBack += c.GetRolledBack()
	sum.RollbackFailed += c.GetRollbackFailed()
	sum.Expired += c.GetExpired()
	sum.Refused += c.GetRefused()
	sum.Cancelled += c.GetCancelled()
	sum.Unknown += c.GetUnknown()
	sum.Conflict += c.GetConflict()
}

// everywhere is the scope of the server itself.
func everywhere(string) bool { return true }
