package logs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

func TestAFloodIsOneReportAndANumber(t *testing.T) {
	r := otpRule()
	r.Cooldown = durationpb.New(time.Minute)
	m := newMachine(t, r)
	m.step()
	for range 50 {
		m.add(nemFolder+"nem.log", strings.Repeat(otpUsed+"\n", 100))
		m.step()
		m.now = m.now.Add(time.Second)
	}
	if all := m.sink.all(); len(all) != 1 || all[0].GetCount() != 100 {
		t.Fatalf("%d reports were told, want one of the first 100 lines", len(all))
	}
	m.now = m.now.Add(time.Minute)
	m.step()
	all := m.sink.all()
	if len(all) != 2 || all[1].GetCount() != 4900 || !all[1].GetFirstSeen().AsTime().Before(all[1].GetLastSeen().AsTime()) {
		t.Errorf("after the cooldown %v was told, want one report of the other 4900 lines", all[1:])
	}
	m.now = m.now.Add(time.Hour)
	m.step()
	if len(m.sink.all()) != 2 {
		t.Error("a quiet log was told of, want nothing: that it is quiet proves nothing")
	}
}

func TestSoManyLinesInTheWindow(t *testing.T) {
	r := timeoutRule()
	r.Count, r.Window = 3, durationpb.New(10*time.Minute)
	m := newMachine(t, r)
	m.step()
	say := func(after time.Duration) {
		m.now = m.now.Add(after)
		m.add(nemFolder+"nem.log", timeout+"\n")
		m.step()
	}
	say(0)
	say(6 * time.Minute)
	say(6 * time.Minute)
	m.want("band-timeout", 0) // the first is out of the window
	m.restart()
	say(time.Minute)
	m.want("band-timeout", 3) // over a restart, too
	say(time.Minute)
	say(time.Minute)
	m.want("band-timeout", 3) // counting began anew
}

func TestAClockThatWasSetBackHoldsNothingBack(t *testing.T) {
	r := otpRule()
	r.Cooldown = durationpb.New(time.Hour)
	m := newMachine(t, r)
	m.step()
	m.add(nemFolder+"nem.log", otpUsed+"\n")
	m.step()
	m.now = m.now.Add(-24 * time.Hour)
	m.add(nemFolder+"nem.log", otpUsed+"\n")
	m.step()
	m.want("enroll-otp-used", 2)
}

func TestWhatTheSinkDoesNotTakeIsOfferedAgain(t *testing.T) {
	m := newMachine(t, otpRule())
	m.step()
	m.sink.refuse = true
	m.add(nemFolder+"nem.log", otpUsed+"\n")
	m.step()
	m.restart()
	m.step()
	m.want("enroll-otp-used", 0)
	m.sink.refuse = false
	m.step()
	m.want("enroll-otp-used", 1)
}

func TestWhatWasReportedIsNotAfterACrash(t *testing.T) {
	m := newMachine(t, otpRule())
	m.step()
	m.add(nemFolder+"nem.log", otpUsed+"\n")
	m.step()
	m.start() // without a word of farewell
	m.step()
	m.want("enroll-otp-used", 1)
}

func TestALineThatMayMeanSeveralThings(t *testing.T) {
	one, other := rule("one", "something went wrong"), rule("other", "something went wrong")
	one.Candidates = []string{"third"}
	m := newMachine(t, one, other)
	m.step()
	m.add(nemFolder+"nem.log", "Something went wrong\n")
	m.step()
	for _, f := range m.sink.all() {
		want := map[string][]string{"one": {"other", "third"}, "other": {"one"}}[f.GetEntry()]
		if !slices.Equal(f.GetCandidates(), want) {
			t.Errorf("%s has the candidates %v, want %v", f.GetEntry(), f.GetCandidates(), want)
		}
	}
	m.want("one", 1)
	m.want("other", 1)
}

func TestTwoLinesAreOneMessage(t *testing.T) {
	m := newMachine(t, otpRule())
	m.step()
	first, second := "ERROR - Band message read error, status: 2200:", "  Could not get NEA certificate from server."
	m.add(nemFolder+"nem.log", "noise\n"+first+"\n")
	m.step()
	m.add(nemFolder+"nem.log", second+"\nnoise\n")
	m.step()
	m.want("enroll-otp-used", 1)
	if line := m.sink.all()[0].GetEvidence()[0].GetValue(); line != first+" "+strings.TrimSpace(second) {
		t.Errorf("the evidence is %q, want both lines", line)
	}
}

func TestUnmatchedLinesAreCountedByTemplate(t *testing.T) {
	m := newMachine(t, otpRule())
	m.step()
	for i := range 500 {
		m.add(nemFolder+"nem.log", fmt.Sprintf("2026-11-24 08:00:%02d INFO - fine %d\nERROR - exchange %d of user ada%d broke off (0x%x)\n", i%60, i, i, i, i))
	}
	m.add(nemFolder+"nem.log", "Fatal: device lost\nERROR - "+otpUsed+"\n")
	m.step()
	got := m.w.Unmatched()
	want := []*agentv1.UnmatchedTemplate{
		{FileClass: "nem", Template: "ERROR - exchange # of user *** broke off (#)", Count: 500}, {FileClass: "nem", Template: "Fatal: device lost", Count: 1},
	}
	if len(got.GetTemplates()) != len(want) {
		t.Fatalf("unmatched are %v, want %v", got, want)
	}
	for i, w := range want {
		if g := got.GetTemplates()[i]; g.GetTemplate() != w.GetTemplate() || g.GetCount() != w.GetCount() || g.GetFileClass() != w.GetFileClass() {
			t.Errorf("unmatched are %v, want %v", g, w)
		}
	}
	if m.w.Unmatched() != nil {
		t.Error("they are told a second time, want only what came since")
	}
}

func TestManyTemplatesAreBounded(t *testing.T) {
	u := newUnmatched()
	total := uint64(0)
	for i := range 5000 {
		word := strings.Map(func(r rune) rune { return r - '0' + 'g' }, fmt.Sprintf("%06d", i))
		u.addLine("nem", []byte("error in "+word), newNames())
		u.addLine("nem", []byte("error often"), newNames())
		total += 2
	}
	if len(u.counts) > maxTemplates {
		t.Errorf("%d templates are kept, want at most %d", len(u.counts), maxTemplates)
	}
	got := u.take().GetTemplates()
	sum, often := uint64(0), uint64(0)
	for _, one := range got {
		sum += one.GetCount()
		if one.GetTemplate() == "error often" {
			often = one.GetCount()
		}
	}
	if len(got) > maxTold || sum != total || often != total/2 {
		t.Errorf("%d templates of %d lines are told, the frequent one %d times; want at most %d, %d and %d", len(got), sum, often, maxTold, total, total/2)
	}
}
