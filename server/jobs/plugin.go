package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/proto/params"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

// An approval holds for the plugins that the targets had. What a terminal has is told at each session, and the agent looks once
// more when it starts the task.

// frozenPlugin is the hash of the plugin that was approved for this task; empty when its job needs no approval.
func (t *task) frozenPlugin() string {
	if all := t.job.rec.GetPluginSha256(); int(t.index) < len(all) {
		return all[t.index]
	}
	return ""
}

// changedPlugin reports whether an approved task must not start for its plugin's sake: the terminal has another now, or nobody
// knew it when the job was approved.
func (t *task) changedPlugin(now time.Time) bool {
	if t.job.rec.GetJob().GetApproval().GetNeeded() == 0 {
		return false
	}
	return t.otherPlugin != "" || t.frozenPlugin() == "" && !t.job.unapproved(now)
}

// pluginRefusal says why, and what to do next.
func (t *task) pluginRefusal() (reason, next string) {
	reason = "when the job was approved the terminal had no plugin for it, or one that asks for more than the job has"
	if t.otherPlugin != "" {
		reason = t.otherPlugin
	}
	return reason, "ask again for this terminal, and have that approved"
}

// PluginsSeen tells which plugins a terminal has now, before anything is sent to it on this session. A task that was approved for
// another ends; where approvals are still wanted, those given so far count no more.
func (e *Engine) PluginsSeen(ctx context.Context, terminalID string, sha256 []string) error {
	var changed []pluginChange
	if err := e.do(ctx, func() { changed = e.changedPlugins(terminalID, sha256) }); err != nil {
		// The closure may still run: what it finds must not be looked at.
		return err
	}
	for _, c := range changed {
		if err := e.pluginChanged(ctx, terminalID, c); err != nil {
			return err
		}
	}
	return nil
}

// pluginChange is an open task whose plugin is not the one that is frozen.
type pluginChange struct {
	jobID, action, frozen string
	index                 uint32
}

func (e *Engine) changedPlugins(terminalID string, sha256 []string) (changed []pluginChange) {
	term := e.terminals[terminalID]
	if term == nil {
		return nil
	}
	for _, t := range term.open {
		job := t.job.rec.GetJob()
		if job.GetApproval().GetNeeded() > 0 && !slices.Contains(sha256, t.frozenPlugin()) {
			changed = append(changed, pluginChange{t.job.id, job.GetAction(), t.frozenPlugin(), t.index})
		}
	}
	return changed
}

func (e *Engine) pluginChanged(ctx context.Context, terminalID string, c pluginChange) error {
	rec, err := e.inv.Terminal(ctx, terminalID)
	if err != nil {
		return err
	}
	action, plugin, _, err := e.inv.ActionFor(ctx, rec, c.action)
	if err != nil || plugin.GetSha256() == c.frozen {
		return err
	}
	role := identity.RoleWord(rec.GetTerminal().GetRole())
	if err := e.changeApproval(ctx, c.jobID, func(_ store.Writer, job *storagev1.JobRecord) (*audit.Entry, error) {
		present := ""
		if fits(job, action, role) {
			present = plugin.GetSha256()
		}
		return refreeze(job, c, terminalID, present, e.now()), nil
	}); err != nil {
		return err
	}
	words := fmt.Sprintf("approved for a plugin with sha256 %s, and the terminal has none now that offers %s", short(c.frozen), c.action)
	if plugin != nil {
		words = fmt.Sprintf("approved for plugin %s sha256 %s, it now has %s", plugin.GetManifest().GetName(), short(c.frozen), short(plugin.GetSha256()))
	}
	return e.do(context.WithoutCancel(ctx), func() { e.refusePlugin(terminalID, c, words) })
}

// fits reports whether a job, as it was made, has what an action asks for: its approvals, its windows and the parameters were
// worked out from what the terminals offered then.
func fits(rec *storagev1.JobRecord, a *actionv1.Action, role string) bool {
	job := rec.GetJob()
	_, bad := params.Resolve(a, job.GetParams())
	asked, _ := params.Approvals(a, job.GetParams())
	harmless := job.GetDryRun() || (rec.GetChanges() || a.GetReadOnly()) && (rec.GetDisruptive() || !a.GetDisruptive())
	approved := !rec.GetChanges() || min(asked, maxApprovals) <= job.GetApproval().GetNeeded()
	return a != nil && bad == nil && harmless && approved && serves(a, role)
}

// refusePlugin ends the task, unless the job was still waiting for approvals and now wants them for the new plugin. One for which no
// plugin is frozen ends when the job is approved.
func (e *Engine) refusePlugin(terminalID string, c pluginChange, words string) {
	t := e.find(terminalID, c.jobID, attempt)
	if t == nil || c.frozen == "" || t.frozenPlugin() != c.frozen {
		return
	}
	t.otherPlugin = words
	e.expireOrCancel(t)
}

// refreeze makes the digest of a job that still waits for approvals anew, with the plugin that a terminal has now. Approvals for
// what was before lapse.
func refreeze(rec *storagev1.JobRecord, c pluginChange, terminalID, present string, now time.Time) *audit.Entry {
	job := rec.GetJob()
	waits, _ := awaitsApproval(job, now)
	if !waits || int(c.index) >= len(rec.GetPluginSha256()) || rec.GetPluginSha256()[c.index] == present {
		return nil
	}
	before := proto.CloneOf(job.GetApproval())
	rec.PluginSha256[c.index] = present
	job.Approval.Digest = approvalDigest(rec)
	for _, given := range job.GetApproval().GetApprovals() {
		if given.GetLapsed() == "" {
			given.Lapsed = "the plugin for " + job.GetAction() + " changed on " + terminalID
		}
	}
	return lapsedEntry(rec, before)
}

// short is enough of a hash to tell it from another.
func short(sha256 string) string { return clip(sha256, 12) }
