package cli

import (
	"fmt"
	"strings"

	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// absent is the state of what is not there.
const absent = "not there"

// stateWord writes the state of a resource.
func stateWord(s *actionv1.State) string {
	switch s := s.GetState().(type) {
	case *actionv1.State_Service:
		return serviceWord(s.Service)
	case *actionv1.State_Confirmation:
		return confirmationWord(s.Confirmation)
	case *actionv1.State_Config:
		return configWord(s.Config)
	case *actionv1.State_File:
		return fileWord(s.File)
	case *actionv1.State_Registry:
		return thereOr(s.Registry.GetExists(), s.Registry.GetData())
	case *actionv1.State_Certificate:
		return thereOr(s.Certificate.GetPresent(), joinWords(", ", "there", keyWord(s.Certificate.GetHasPrivateKey())))
	case *actionv1.State_Binding:
		return thereOr(s.Binding.GetExists(), boundWord(s.Binding))
	case *actionv1.State_Iis:
		return thereOr(s.Iis.GetExists(), s.Iis.GetValue())
	default:
		return machineStateWord(s)
	}
}

func machineStateWord(s any) string {
	switch s := s.(type) {
	case *actionv1.State_Device:
		return deviceWord(s.Device)
	case *actionv1.State_Power:
		return fmt.Sprintf("on mains %d, on battery %d", s.Power.GetAc(), s.Power.GetDc())
	case *actionv1.State_Program:
		return programWord(s.Program)
	case *actionv1.State_Features:
		return featuresWord(s.Features)
	case *actionv1.State_Boot:
		return "started at " + output.UTC(s.Boot.GetBootTime())
	case *actionv1.State_Collection:
		return output.Count(len(s.Collection.GetFiles()), "file")
	case *actionv1.State_Peers:
		return peersWord(s.Peers)
	case *actionv1.State_Lease:
		return leaseWord(s.Lease)
	default:
		return "not known"
	}
}

func thereOr(there bool, text string) string {
	if !there {
		return absent
	}
	return text
}

func boundWord(b *actionv1.Binding) string {
	if b.GetCertificateSha256() == "" {
		return "no certificate"
	}
	return joinWords(" in store ", "certificate "+short(b.GetCertificateSha256()), b.GetStore())
}

func keyWord(hasKey bool) string {
	if hasKey {
		return "with its key"
	}
	return ""
}

func configWord(c *actionv1.ConfigState) string {
	if !c.GetExists() || c.GetMalformed() != "" {
		return thereOr(c.GetExists(), "malformed: "+c.GetMalformed())
	}
	parts := make([]string, len(c.GetValues()))
	for i, v := range c.GetValues() {
		parts[i] = v.GetKey() + "=" + v.GetValue()
	}
	return joinWords(", ", strings.Join(parts, ", "), hashWord(c.GetSha256()))
}

func hashWord(sha256 string) string {
	if sha256 == "" {
		return ""
	}
	return "SHA-256 " + short(sha256)
}

func fileWord(f *actionv1.FileState) string {
	return thereOr(f.GetExists(), joinWords(", ", bytesWord(f.GetSize()), hashWord(f.GetSha256())))
}

func deviceWord(d *actionv1.Device) string {
	switch {
	case d.GetDisabled():
		return "disabled"
	case d.GetProblemCode() != 0:
		return fmt.Sprintf("problem code %d", d.GetProblemCode())
	}
	return joinWords(", ", "works", d.GetPort())
}

func programWord(p *actionv1.ProgramState) string {
	switch {
	case !p.GetKnown():
		return "not on the agent's list"
	case !p.GetExists():
		return absent
	case !p.GetApproved():
		return "not approved, " + hashWord(p.GetSha256())
	case p.GetTimedOut():
		return "ended at its time"
	}
	return fmt.Sprintf("exit code %d, %s", p.GetExitCode(), output.Count(len(p.GetNewFiles()), "new file"))
}

func featuresWord(f *actionv1.FeatureStates) string {
	parts := make([]string, 0, len(f.GetFeatures())+1)
	for _, one := range f.GetFeatures() {
		state := "not installed"
		if one.GetInstalled() {
			state = "installed"
		}
		parts = append(parts, one.GetName()+" "+state)
	}
	if f.GetRestartNeeded() {
		parts = append(parts, "a restart of the machine is needed")
	}
	return strings.Join(parts, ", ")
}

// peersWord writes what terminals found: "2 of 2 good (lyon-03, lyon-07)", "0 of 1 good; lyon-07: the chain ends at a root that is not
// trusted here".
func peersWord(p *actionv1.PeerVerdicts) string {
	var good, bad []string
	for _, v := range p.GetVerdicts() {
		if v.GetOk() {
			good = append(good, v.GetTerminal())
		} else {
			bad = append(bad, v.GetTerminal()+": "+v.GetReason())
		}
	}
	if len(p.GetVerdicts()) == 0 {
		return "nobody was asked"
	}
	count := fmt.Sprintf("%d of %d good", len(good), len(p.GetVerdicts()))
	if len(good) > 0 {
		count += " (" + strings.Join(good, ", ") + ")"
	}
	return joinWords("; ", count, strings.Join(bad, "; "))
}

// leaseWord writes a change that will end by itself, `file "nes/web.config" until 2026-11-24T10:00:00Z`, or what became of it.
func leaseWord(l *actionv1.LeaseState) string {
	text := strings.Join(l.GetResources(), ", ")
	if goesBack(l) {
		return joinWords(" until ", text, output.UTC(l.GetUntil()))
	}
	return joinWords(": ", text, leaseEnd(l))
}

// goesBack says whether a change is still to be put back, and nothing has kept it from that.
func goesBack(l *actionv1.LeaseState) bool { return !l.GetEnded() && l.GetTries() == 0 }

// leaseEnd says what became of a change with an end. Agents of earlier releases do not tell when it was.
func leaseEnd(l *actionv1.LeaseState) string {
	switch at := output.UTC(l.GetEndedAt()); {
	case !l.GetEnded():
		return fmt.Sprintf("cannot be put back yet: %s, tried %s", l.GetLastError(), times(l.GetTries()))
	case l.GetOutcome() != "":
		return joinWords("; ", joinWords(" at ", "ended", at), "not put back: "+l.GetOutcome())
	case at == "":
		return "has gone back"
	default:
		return "put back at " + at
	}
}

func times(n uint32) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
