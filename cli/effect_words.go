package cli

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// effectText is an effect in words: what it is done to, the verb in one word, what is said when it is to be done, when it was and when it
// was tried.
type effectText struct{ object, verb, todo, done, tried string }

// deed says what an effect did. One that did not come about may have changed something all the same: the service is stopping.
func deed(e *actionv1.RecordedEffect) string {
	text := textOf(e.GetEffect())
	if e.GetError() != "" {
		return text.tried
	}
	return text.done
}

// objectOf names what an effect is done to.
func objectOf(e *actionv1.Effect) string { return textOf(e).object }

// effectWord writes an effect that is to be done: `stop service "Nymi Agent" (at most 10s)`.
func effectWord(e *actionv1.Effect) string {
	text := textOf(e).todo
	if l := e.GetLease(); l != nil {
		text += ", goes back by itself after " + output.Duration(l.GetTtl().AsDuration())
	}
	return text
}

func textOf(e *actionv1.Effect) effectText {
	switch e := e.GetEffect().(type) {
	case *actionv1.Effect_ServiceStop:
		return serviceEffect("stop", "stop", "stopped", e.ServiceStop.GetService(), e.ServiceStop.GetTimeout())
	case *actionv1.Effect_ServiceStart:
		return serviceEffect("start", "start", "started", e.ServiceStart.GetService(), e.ServiceStart.GetTimeout())
	case *actionv1.Effect_ServiceKill:
		return serviceEffect("kill", "kill the process of", "killed", e.ServiceKill.GetService(), e.ServiceKill.GetTimeout())
	case *actionv1.Effect_Confirm:
		return effectText{
			object: "a person", verb: "ask", done: "asked", tried: "asked in vain",
			todo: fmt.Sprintf("ask a person %q (waits at most %s)", e.Confirm.GetPrompt(), output.Duration(e.Confirm.GetTimeout().AsDuration())),
		}
	default:
		return fileEffect(e)
	}
}

func serviceEffect(verb, doing, done, service string, timeout *durationpb.Duration) effectText {
	return effectText{
		object: service, verb: verb, done: done, tried: "tried to " + verb,
		todo: fmt.Sprintf("%s service %q (at most %s)", doing, service, output.Duration(timeout.AsDuration())),
	}
}

// plain makes the words of an effect whose verb and object stand in this order.
func plain(verb, done, object, more string) effectText {
	return effectText{object: object, verb: verb, done: done, tried: "tried to " + verb, todo: joinWords(" ", verb, object, more)}
}

func fileEffect(e any) effectText {
	switch e := e.(type) {
	case *actionv1.Effect_ConfigEdit:
		text := plain("edit", "edited", e.ConfigEdit.GetRoot()+"/"+e.ConfigEdit.GetPath(), "")
		text.todo += ": " + changesWord(e.ConfigEdit.GetChanges())
		return text
	case *actionv1.Effect_FileCopy:
		f := e.FileCopy
		return plain("make", "made", f.GetRoot()+"/"+f.GetTo(), "from "+f.GetFrom())
	case *actionv1.Effect_FileRemove:
		return plain("remove", "removed", e.FileRemove.GetRoot()+"/"+e.FileRemove.GetPath(), "")
	case *actionv1.Effect_RegistrySet:
		set := e.RegistrySet
		text := plain("set", "set", `HKLM\`+set.GetKey()+`\`+set.GetValue(), viewWord(set.GetView32()))
		text.todo += ": " + fromTo(set.Before, set.After)
		return text
	default:
		return webEffect(e)
	}
}

func viewWord(view32 bool) string {
	if view32 {
		return "(32-bit view)"
	}
	return ""
}

func changesWord(changes []*actionv1.ConfigChange) string {
	parts := make([]string, len(changes))
	for i, c := range changes {
		parts[i] = c.GetKey() + " " + fromTo(c.Before, c.After)
	}
	return strings.Join(parts, ", ")
}

// fromTo writes a change of a value that may not be there before or after: "Information → Verbose".
func fromTo(before, after *string) string {
	value := func(text *string) string {
		if text == nil {
			return "none"
		}
		return *text
	}
	return value(before) + " → " + value(after)
}

func webEffect(e any) effectText {
	switch e := e.(type) {
	case *actionv1.Effect_CertificateAdd:
		add, verb, done := e.CertificateAdd, "add", "added"
		if add.GetPfx() != "" {
			verb, done = "import", "imported"
		}
		return plain(verb, done, "certificate "+short(add.GetSha256())+" to store "+add.GetStore(), "")
	case *actionv1.Effect_BindingSet:
		after := e.BindingSet.GetAfter()
		text := plain("bind", "bound", bindingPlace(after), "to certificate "+short(after.GetCertificateSha256()))
		if old := e.BindingSet.GetBefore().GetCertificateSha256(); old != "" {
			text.todo += " in place of " + short(old)
		}
		return text
	case *actionv1.Effect_IisSet:
		text := plain("set", "set", iisAttribute(e.IisSet.GetAttribute(), e.IisSet.GetObject()), "")
		text.todo += ": " + e.IisSet.GetBefore() + " → " + e.IisSet.GetAfter()
		return text
	case *actionv1.Effect_IisStart:
		if e.IisStart.GetPool() != "" {
			return plain("start", "started", fmt.Sprintf("application pool %q", e.IisStart.GetPool()), "")
		}
		return plain("start", "started", fmt.Sprintf("site %q", e.IisStart.GetSite()), "")
	case *actionv1.Effect_IisRecycle:
		return plain("recycle", "recycled", fmt.Sprintf("application pool %q", e.IisRecycle.GetPool()), "")
	default:
		return machineEffect(e)
	}
}

// bindingPlace names an https binding: `https binding "Default Web Site" *:443`.
func bindingPlace(b *actionv1.Binding) string {
	text := fmt.Sprintf("https binding %q %s:%d", b.GetSite(), b.GetAddress(), b.GetPort())
	return joinWords(" ", text, b.GetHost())
}

func iisAttribute(a actionv1.IISAttribute, object string) string {
	name := map[actionv1.IISAttribute]string{
		actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS: "sslFlags of", actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY: "account of application pool",
	}[a]
	return strings.TrimSpace(fmt.Sprintf("%s %q", name, object))
}

func machineEffect(e any) effectText {
	within := func(d *durationpb.Duration) string { return "(at most " + output.Duration(d.AsDuration()) + ")" }
	switch e := e.(type) {
	case *actionv1.Effect_DeviceSet:
		if e.DeviceSet.GetEnabled() {
			return plain("enable", "enabled", "device "+e.DeviceSet.GetInstance(), within(e.DeviceSet.GetTimeout()))
		}
		return plain("disable", "disabled", "device "+e.DeviceSet.GetInstance(), within(e.DeviceSet.GetTimeout()))
	case *actionv1.Effect_PowerSet:
		p := e.PowerSet
		text := plain("set", "set", "power setting "+p.GetSetting().GetSetting(), "")
		text.todo += fmt.Sprintf(": on mains %d → %d, on battery %d → %d", p.GetAcBefore(), p.GetAcAfter(), p.GetDcBefore(), p.GetDcAfter())
		return text
	case *actionv1.Effect_ProgramRun:
		return plain("run", "ran", fmt.Sprintf("program %q", e.ProgramRun.GetProgram()), within(e.ProgramRun.GetTimeout()))
	case *actionv1.Effect_FeatureAdd:
		return plain("add", "added", "features "+list(e.FeatureAdd.GetFeatures()), within(e.FeatureAdd.GetTimeout()))
	case *actionv1.Effect_Reboot:
		return plain("restart", "restarted", "the machine", delayWord(e.Reboot.GetDelay().AsDuration()))
	case *actionv1.Effect_Collect:
		return plain("collect", "collected", "logs of "+list(e.Collect.GetSources()), "")
	case *actionv1.Effect_PeerProbe:
		t := e.PeerProbe.GetTarget()
		return plain("try", "tried", fmt.Sprintf("%s:%d from %s", t.GetHost(), t.GetPort(), output.Count(e.PeerProbe.GetCount(), "terminal")), within(e.PeerProbe.GetTimeout()))
	case *actionv1.Effect_LeaseRelease:
		return plain("end", "ended", fmt.Sprintf("lease %q", e.LeaseRelease.GetId()), "")
	default:
		const unknown = "something that this fleetctl does not know"
		return effectText{object: unknown, verb: "change", done: "changed", tried: "tried to change", todo: "an effect that this fleetctl does not know; update it"}
	}
}

func delayWord(d time.Duration) string {
	if d == 0 {
		return "at once"
	}
	return "in " + output.Duration(d)
}
