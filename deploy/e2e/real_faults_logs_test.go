//go:build real

package e2e

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// logWriter writes logs on a real file system, and treats them as programs, rotation and people do. Files are named by their user.
type logWriter interface {
	// write makes the log anew, with no more than these bytes.
	write(t testing.TB, user string, content []byte)
	// add appends to it.
	add(t testing.TB, user string, content []byte)
	// rotate gives it another name; empty leaves nothing of its content.
	rotate(t testing.TB, user string)
	empty(t testing.TB, user string)
	// drown appends many bytes of lines that say nothing.
	drown(t testing.TB, user string, size int)
}

const (
	// drowned is how much is written at once: more than the agent reads.
	drowned = 96 << 20
	quiet   = "2026-11-24 08:00:00,000 INFO the band is near, -61 dBm\r\n"
	// followed is what stands in a log before the agent first looks.
	followed, followedLine = "band-error-9000", "Band error 9000: An error occurred in the system."
)

// lastUser is the one whose folder comes last.
const lastUser = "zoe"

// treatment is something that happens to a log, after which a line in it is still read.
type treatment struct {
	user, entry, line string
	// do has it happen and adds the line.
	do func(t testing.TB, w logWriter, user string, line []byte)
}

func treatments() []treatment {
	return []treatment{
		{"ada", "nba-enrollment-url-unset", "Enrollment URL is not set. Contact your administrator.", rotated},
		{"bob", "enroll-otp-wrong", "Failed to get NEM certificate", truncated},
		{"eve", "nba-selfsigned-expired", "Failed to get the application certificates", reencoded},
		{"max", "fingerprint-creation-failed", "Fingerprint creation failed, try again", drownedInNoise},
	}
}

func rotated(t testing.TB, w logWriter, user string, line []byte) {
	w.rotate(t, user)
	w.write(t, user, line)
}

func truncated(t testing.TB, w logWriter, user string, line []byte) {
	w.empty(t, user)
	w.add(t, user, line)
}

// reencoded: a person has opened the log with an editor and saved it as what that calls Unicode.
func reencoded(t testing.TB, w logWriter, user string, line []byte) {
	w.write(t, user, utf16Of(strings.Repeat(quiet, 5)+string(line)))
}

func drownedInNoise(t testing.TB, w logWriter, user string, line []byte) {
	w.drown(t, user, drowned)
	w.add(t, user, line)
}

func utf16Of(text string) []byte {
	all := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		all = binary.LittleEndian.AppendUint16(all, unit)
	}
	return all
}

// writeLogs makes the logs that are there before the agent is.
func writeLogs(t testing.TB, w logWriter) {
	t.Helper()
	for _, u := range treatments() {
		w.write(t, u.user, []byte(strings.Repeat(quiet, 50)))
	}
	w.write(t, lastUser, []byte(quiet+followedLine+"\r\n"))
}

// logsAreFollowed: the agent has its orders, and has looked at each log.
func (l *loop) logsAreFollowed() { l.onlyFault(followed) }

func (l *loop) logsAreReadOn() {
	for _, u := range treatments() {
		u.do(l.t, l.machine, u.user, []byte("2026-11-24 08:00:01,000 ERROR "+u.line+"\r\n"))
	}
	for _, u := range treatments() {
		l.wantLine(u, l.onlyFault(u.entry))
	}
	for _, u := range treatments() {
		if f := l.onlyFault(u.entry); f.GetCount() != 1 {
			l.t.Errorf("the line of %s was counted %d times, want once: it was written once", u.entry, f.GetCount())
		}
	}
}

// wantLine wants a fault to show the line that was written, not the user's name, and what could not be read.
func (l *loop) wantLine(u treatment, f *fleetv1.Fault) {
	l.t.Helper()
	evidence := map[string]string{}
	for _, e := range f.GetEvidence() {
		evidence[e.GetName()] = e.GetValue()
		if strings.Contains(e.GetValue(), u.user) {
			l.t.Errorf("the evidence of %s names the user %s: %v", u.entry, u.user, e)
		}
	}
	wantText(l.t, "the line of "+u.entry, evidence["line"], u.line)
	if skipped := evidence["skipped"] != ""; skipped != (u.user == "max") {
		l.t.Errorf("%s: what was skipped is %q, want that it is told of the one that drowned, and of no other", u.entry, evidence["skipped"])
	}
}
