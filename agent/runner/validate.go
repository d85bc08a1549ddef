package runner

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/params"
)

// judgeNew judges a task that has just come. It returns the result of one that may never run, nil for one that may.
func (r *Runner) judgeNew(t *agentv1.Task) (*actionv1.TaskResult, error) {
	seen, err := r.journal.Epoch()
	if err != nil {
		return nil, err
	}
	if t.GetEpoch() < seen {
		return unstarted(actionv1.TaskStatus_TASK_STATUS_REFUSED,
			fmt.Sprintf("the task is of epoch %d of the server's store, this agent has seen epoch %d", t.GetEpoch(), seen),
			"the server was restored from a backup; look at what was done since, then ask for the job again"), nil
	}
	if t.GetEpoch() > seen {
		if err := r.journal.RaiseEpoch(t.GetEpoch()); err != nil {
			return nil, err
		}
	}
	return r.judge(t), nil
}

// judge is asked when a task comes and again when it starts: plugins, the terminal's role and the time may have changed.
func (r *Runner) judge(t *agentv1.Task) *actionv1.TaskResult {
	if res := r.judgeExpiry(t); res != nil {
		return res
	}
	plugin, action, ok := r.plugins.Find(t.GetAction())
	if !ok {
		return unstarted(actionv1.TaskStatus_TASK_STATUS_REFUSED, fmt.Sprintf("action %q is not offered by this terminal's plugins", t.GetAction()),
			"install the plugin that offers it and enrol its plugins.lock")
	}
	if wrong := otherPlugin(t, plugin); wrong != nil {
		return unstarted(actionv1.TaskStatus_TASK_STATUS_REFUSED, wrong.reason, wrong.nextStep)
	}
	if role := r.place().GetRole(); role != "" && len(action.GetRoles()) > 0 && !slices.Contains(action.GetRoles(), role) {
		return unstarted(actionv1.TaskStatus_TASK_STATUS_REFUSED,
			fmt.Sprintf("action %q is for %s, this terminal's role is %s", action.GetName(), strings.Join(action.GetRoles(), " and "), role),
			"choose terminals with that role")
	}
	if _, err := params.Resolve(action, t.GetParams()); err != nil {
		return unstarted(actionv1.TaskStatus_TASK_STATUS_REFUSED, problems(err), "ask for the job again with the parameters put right")
	}
	return r.refusedRemedy(t)
}

// otherPlugin says that the plugin installed here is not the one that the task was approved for, nil when it is or when none
// is named. It is asked before every start of the plugin, so that an approval never covers another program.
func otherPlugin(t *agentv1.Task, plugin Plugin) *failure {
	want, here := t.GetPluginSha256(), plugin.SHA256()
	if want == "" || want == here {
		return nil
	}
	return &failure{
		reason:   fmt.Sprintf("plugin %q has the hash %s here, the job was approved for %s", plugin.Name(), shortHash(here), shortHash(want)),
		nextStep: "install the plugin that was approved on this terminal, or ask for the job again and have it approved for the one that is there",
		refused:  true,
	}
}

// shortHash is as much of a hash as people compare.
func shortHash(hash string) string { return clip(hash[:min(len(hash), 12)], maxName) }

func (r *Runner) judgeExpiry(t *agentv1.Task) *actionv1.TaskResult {
	if t.GetExpires() == nil {
		return unstarted(actionv1.TaskStatus_TASK_STATUS_REFUSED, "the task has no expiry", "update the server")
	}
	if r.expired(t) {
		return unstarted(actionv1.TaskStatus_TASK_STATUS_EXPIRED, "it had not started when its time was over", "ask for the job again")
	}
	return nil
}

// expired judges by the server's clock.
func (r *Runner) expired(t *agentv1.Task) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.clock.now().Before(t.GetExpires().AsTime())
}

func (r *Runner) place() *actionv1.Terminal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.terminal
}

// problems is the text of a parameter error.
func problems(err error) string {
	var p *params.Error
	if errors.As(err, &p) {
		return p.Error()
	}
	return "parameters: " + err.Error()
}
