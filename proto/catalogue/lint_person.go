package catalogue

import (
	"fmt"
	"time"
)

// maxDue is the longest time that a person is given.
const maxDue = 30 * 24 * time.Hour

// Roles returns who guided tasks are for.
func Roles() []string {
	return []string{"site-desk", "inventory-manager", "nes-administrator", "network-team", "it-operations", "solution-consultant", "nymi-support"}
}

// person looks at what a person does.
func (l *linter) person() {
	p := l.entry.Person
	if p == nil {
		return
	}
	l.oneOf("person.assignee", p.Assignee, Roles()...)
	if p.Escalate != "" {
		l.oneOf("person.escalate", p.Escalate, Roles()...)
	}
	l.oneOf("person.priority", p.Priority, "", "low", "normal", "urgent")
	if p.Due < 0 || p.Due > maxDue {
		l.bad("person.due", "is %s, want 0s to %s", p.Due, maxDue)
	}
	l.line("person.names", p.Names, false)
	if len(p.Steps) == 0 || len(p.Steps) > maxList {
		l.bad("person.steps", "are %d, want 1 to %d", len(p.Steps), maxList)
	}
	for i, step := range p.Steps {
		field := fmt.Sprintf("person.steps[%d]", i)
		l.long(field+".do", step.Do, true)
		if step.Timer < 0 || step.Timer > maxDue {
			l.bad(field+".timer", "is %s, want 0s to %s", step.Timer, maxDue)
		}
	}
}
