package jobs

// takeSlot counts a task as one that may be running: against the limits, and as one that takes its terminal out of use.
func (t *task) takeSlot() {
	if t.slot {
		return
	}
	t.slot = true
	t.job.slots++
	t.queue.slots++
	t.terminal.slots++
	t.place()
	if t.job.takesOut {
		t.terminal.hands++
		t.terminal.weigh()
	}
}

// dropSlot gives the slot back. The terminal's other tasks may have waited for it.
func (t *task) dropSlot() {
	if !t.slot {
		return
	}
	t.slot = false
	t.job.slots--
	t.queue.slots--
	t.terminal.slots--
	if t.job.takesOut {
		t.terminal.hands--
		t.terminal.weigh()
	}
	if t.terminal.slots == maxPerTerminal-1 {
		for _, other := range t.terminal.open {
			other.enqueue()
		}
	}
}

// stepBack gives back the slot and the place in the wave of a task that is known not to have started, for others to take.
func (t *task) stepBack() {
	t.dropSlot()
	t.unplace()
}

// place takes a place in the present wave, once.
func (t *task) place() {
	if !t.placed {
		t.placed, t.wave = true, t.job.wave
		t.job.placed++
	}
}

func (t *task) unplace() {
	if t.placed {
		t.placed, t.wave = false, 0
		t.job.placed--
	}
}

// settlePlace counts a task that is done as one that came of running, or gives its place back.
func (t *task) settlePlace() {
	if neverStarted(t.status) {
		t.unplace()
		return
	}
	t.place()
	t.job.ran++
}

// resettlePlace does it for a task whose result was replaced.
func (t *task) resettlePlace(old bool) {
	if old {
		t.job.ran--
	}
	t.settlePlace()
}
