// Package catalogue is the vendor's troubleshooting guide as data: what can be wrong, how it is noticed, what remedies it, what a person does
// where no machine can, and how it is known to be gone. The entries that come with the product are in entries/*.yaml; operators add packs of
// their own. Server, agent, CLI and the documentation read the same data.
package catalogue

import "time"

// Target is the kind of thing that an entry is about.
type Target string

// The targets.
const (
	Terminal Target = "terminal"
	NESHost  Target = "nes-host"
	Band     Target = "band"
	// Device is any machine that talks to NES: a terminal or an NES host.
	Device Target = "network-device"
)

// Kind says who remedies it.
type Kind string

// The kinds of remedies.
const (
	// Auto: a machine may do it by itself.
	Auto Kind = "auto"
	// Approval: a machine does it when a person has agreed.
	Approval Kind = "auto-with-approval"
	// Guided: a person does it.
	Guided Kind = "guided"
)

// Entry is one thing that can be wrong, or one thing that people ask for.
type Entry struct {
	// ID is unique in the catalogue: lower case letters, digits and dashes. It never changes its meaning.
	ID string `yaml:"id"`
	// Title is one line for people; Symptom is what they see.
	Title   string `yaml:"title"`
	Symptom string `yaml:"symptom"`
	// Chapter names the part of the guide.
	Chapter string `yaml:"chapter"`
	Target  Target `yaml:"target"`
	// Procedure: nothing is wrong, somebody asks for something.
	Procedure bool `yaml:"procedure,omitempty"`
	// Says are texts that a screen or a log shows, word for word; for people who search.
	Says []string `yaml:"says,omitempty"`
	// Codes are numbers that are shown with them.
	Codes []string `yaml:"codes,omitempty"`
	// Words are further words that people use for it.
	Words  []string `yaml:"words,omitempty"`
	Causes []string `yaml:"causes,omitempty"`
	Detect Detect   `yaml:"detect"`
	Remedy Remedy   `yaml:"remedy"`
	Person *Person  `yaml:"person,omitempty"`
	// Verify says how it is known to be gone, for people.
	Verify string `yaml:"verify"`
	// Replaces is the entry's own id when, in a pack, it stands for one that is there already.
	Replaces string `yaml:"replaces,omitempty"`
	// Common says what such faults of many terminals have in common, when they have: one cause is remedied before its members.
	Common *Common `yaml:"common,omitempty"`
}

// Detect is how it is noticed. An entry that has nothing here but Reported is known only when a person says so.
type Detect struct {
	// State lists conditions, each of which opens the fault.
	State []Condition `yaml:"state,omitempty"`
	Logs  []LogRule   `yaml:"logs,omitempty"`
	// As is another entry's id, whose fault stands for this one: the same condition under another name.
	As string `yaml:"as,omitempty"`
	// Reported: a person may say so.
	Reported bool `yaml:"reported,omitempty"`
}

// Condition holds while all its signals have one of their values.
type Condition struct {
	All []Is `yaml:"all"`
	// For is how long it must hold, and not hold, before it counts.
	For time.Duration `yaml:"for,omitempty"`
}

// Is asks for one of several values of a signal.
type Is struct {
	Signal string   `yaml:"signal"`
	Values []string `yaml:"is"`
}

// LogRule opens a fault when a line of a log says certain things.
type LogRule struct {
	// Name makes it unique in its entry.
	Name string `yaml:"name"`
	// File is a class of files; Classes lists them.
	File string   `yaml:"file"`
	All  []string `yaml:"all,omitempty"`
	Any  []string `yaml:"any,omitempty"`
	None []string `yaml:"none,omitempty"`
	// Code is a number that must stand by itself in the line.
	Code string `yaml:"code,omitempty"`
	// Confidence is "guide", "public" or "guess".
	Confidence string        `yaml:"confidence"`
	Count      int           `yaml:"count,omitempty"`
	Window     time.Duration `yaml:"window,omitempty"`
	Cooldown   time.Duration `yaml:"cooldown,omitempty"`
	// Samples are lines that must match this rule and no rule of another entry but those of Like.
	Samples []string `yaml:"samples"`
	// Like lists entries whose lines look the same.
	Like []string `yaml:"like,omitempty"`
}

// Remedy is what a machine does.
type Remedy struct {
	Kind Kind `yaml:"kind"`
	// Steps are tried in order until the fault is gone.
	Steps []Step `yaml:"steps,omitempty"`
	// Interrupts says what stands still meanwhile, for people; empty when nothing does.
	Interrupts string `yaml:"interrupts,omitempty"`
}

// Step is one action of a remedy.
type Step struct {
	Action string `yaml:"action"`
	// Params may hold "{site.nes_url}", "{site.root}", "{subject}", "{band}" and the like (Placeholders lists them); "{ask}" is asked of the
	// person who wants the fix.
	Params map[string]string `yaml:"params,omitempty"`
	// If asks for a signal's value ("adapter is problem"); without it the step is taken whenever its turn comes.
	If *Is `yaml:"if,omitempty"`
	// Approval: a person must agree to this step, whatever the remedy's kind.
	Approval bool `yaml:"approval,omitempty"`
	// On is where it runs: empty means on the fault's terminal, "nes-host" on the NES host that it uses, "site" on all terminals of its site.
	On string `yaml:"on,omitempty"`
}

// Person is what a person does.
type Person struct {
	// Assignee is a role: "site-desk", "inventory-manager", "nes-administrator", "network-team", "it-operations", "solution-consultant",
	// "nymi-support".
	Assignee string `yaml:"assignee"`
	// Priority is "low", "normal" or "urgent".
	Priority string        `yaml:"priority,omitempty"`
	Due      time.Duration `yaml:"due,omitempty"`
	Steps    []PersonStep  `yaml:"steps"`
	// Escalate is a role.
	Escalate string `yaml:"escalate,omitempty"`
	// OtherPerson: who made the task must not close it.
	OtherPerson bool `yaml:"other_person,omitempty"`
	// Names is whom the closing person must name ("the administrator who deactivated the band in NES").
	Names string `yaml:"names,omitempty"`
}

// PersonStep is one thing that a person does.
type PersonStep struct {
	Do       string `yaml:"do"`
	Optional bool   `yaml:"optional,omitempty"`
	// Timer is how long to wait after it was begun.
	Timer time.Duration `yaml:"timer,omitempty"`
}

// Common groups faults of many terminals.
type Common struct {
	// Kind is "nes-host", "nymi-agent" or "certificate". The fault's subject says which.
	Kind string `yaml:"kind"`
	// Cause lists the entries that are the cause when the thing in common has them ("console-iis-stopped").
	Cause []string `yaml:"cause,omitempty"`
}
