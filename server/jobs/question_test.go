package jobs

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
)

// puts puts a question of a running task, as its agent does.
func (r *rig) puts(i int, job *fleetv1.Job, planID, prompt string) {
	r.t.Helper()
	q := &agentv1.Question{Key: key(job), PlanId: planID, Prompt: prompt, Deadline: timestamppb.New(time.Now().Add(10 * time.Minute))}
	if err := r.engine.Question(r.t.Context(), terminalID(i), q); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func (r *rig) confirm(p *access.Principal, job *fleetv1.Job, yes bool) (*fleetv1.Task, error) {
	task, err := r.engine.Confirm(r.t.Context(), p, &fleetv1.ConfirmTaskRequest{JobId: job.GetId(), Terminal: "T-0000", Confirmed: yes, Note: "looked"})
	return task, err
}

// runs is a job that runs on the first terminal.
func (r *rig) runs() *fleetv1.Job {
	r.t.Helper()
	r.connect(0)
	job := r.create(nil)
	if err := r.engine.Started(r.t.Context(), "T-0000", &agentv1.Started{Key: key(job)}); err != nil {
		r.t.Fatal(err)
	}
	r.wire.take("T-0000")
	return job
}

func TestAQuestionIsShownAndAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.runs()
		r.puts(0, job, "1", "is the\ncable in?")
		q := r.task(0, job).GetQuestion()
		expect(t, "prompt", q.GetPrompt(), "is the cable in?")
		task, err := r.confirm(at("lyon", "lyon"), job, true)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "question after the answer", task.GetQuestion() == nil, true)
		expect(t, "answered by", task.GetAnswers()[0].GetBy(), "bob")
		expect(t, "note", task.GetAnswers()[0].GetNote(), "looked")
		synctest.Wait()
		expectSent(t, r.wire.take("T-0000"), "answer 1 true by bob")
		expect(t, "audit records", r.audited("task.confirm"), 1)
		expect(t, "answer in the audit record", r.change("task.confirm", "answer"), "yes")
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		expect(t, "answers kept with the result", len(r.task(0, job).GetAnswers()), 1)
	}, "lyon")
}

func TestTheFirstAnswerCounts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.runs()
		r.puts(0, job, "1", "is it lit?")
		if _, err := r.confirm(admin(), job, false); err != nil {
			t.Fatal(err)
		}
		if _, err := r.confirm(at("lyon", "lyon"), job, false); err != nil {
			t.Errorf("the same answer again: %v", err)
		}
		_, err := r.confirm(at("lyon", "lyon"), job, true)
		expectRefusal(t, err, "ANSWERED")
		if err == nil || !strings.Contains(err.Error(), "ada answered no at ") {
			t.Errorf("%v, want it to say who answered what", err)
		}
		expect(t, "audit records", r.audited("task.confirm"), 1)
		// The next question is another one.
		r.puts(0, job, "2", "and now?")
		if _, err := r.confirm(admin(), job, true); err != nil {
			t.Fatal(err)
		}
		expect(t, "answers", len(r.task(0, job).GetAnswers()), 2)
	}, "lyon")
}

func TestTwoAnswersAtTheSameMoment(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.runs()
		r.puts(0, job, "1", "is it lit?")
		var all sync.WaitGroup
		refused := make(chan error, 2)
		for _, yes := range []bool{true, false} {
			all.Go(func() {
				_, err := r.confirm(admin(), job, yes)
				refused <- err
			})
		}
		all.Wait()
		synctest.Wait()
		if a, b := <-refused, <-refused; (a == nil) == (b == nil) {
			t.Errorf("yes and no gave %v and %v: one of them must be refused", a, b)
		}
		expect(t, "answers", len(r.task(0, job).GetAnswers()), 1)
		expect(t, "told the agent", len(r.wire.take("T-0000")), 1)
	}, "lyon")
}

// Whatever is lost on the way, the agent asks again and is told the same.
func TestAnAnswerIsToldAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.runs()
		r.puts(0, job, "1", "is it lit?")
		r.disconnect(0)
		if _, err := r.confirm(admin(), job, true); err != nil {
			t.Fatalf("an answer while the line is cut: %v", err)
		}
		r.connect(0, open(job, started))
		expectSent(t, r.wire.take("T-0000"))
		r.puts(0, job, "1", "is it lit?")
		expectSent(t, r.wire.take("T-0000"), "answer 1 true by ada")
		r.restart()
		r.connect(0, open(job, started))
		r.puts(0, job, "1", "is it lit?")
		expectSent(t, r.wire.take("T-0000"), "answer 1 true by ada")
		expect(t, "question", r.task(0, job).GetQuestion() == nil, true)
		_, err := r.confirm(admin(), job, false)
		expectRefusal(t, err, "ANSWERED")
	}, "lyon")
}

func TestAQuestionThatIsAskedAgainAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.runs()
		r.puts(0, job, "1", "is it lit?")
		r.restart()
		_, err := r.confirm(admin(), job, true)
		expectRefusal(t, err, "ASKS_NOTHING")
		r.connect(0, open(job, started))
		r.puts(0, job, "1", "is it lit?")
		if _, err := r.confirm(admin(), job, true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expectSent(t, r.wire.take("T-0000"), "answer 1 true by ada")
	}, "lyon")
}

func TestWhatCannotBeConfirmed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.runs()
		_, err := r.confirm(admin(), job, true)
		expectRefusal(t, err, "ASKS_NOTHING")
		r.puts(0, job, "1", "is it lit?")
		_, err = r.confirm(at("lyon", "paris"), job, true)
		expectRefusal(t, err, "RIGHT_MISSING")
		_, err = r.confirm(at("paris", "paris"), job, true)
		expectRefusal(t, err, "NOT_FOUND")
		for reason, q := range map[string]*fleetv1.ConfirmTaskRequest{
			"TASK_NOT_FOUND": {JobId: job.GetId(), Terminal: "T-0099"},
			"NOT_FOUND":      {JobId: "01HZY0000000000000000000AA", Terminal: "T-0000"},
			"BAD_REASON":     {JobId: job.GetId(), Terminal: "T-0000", Note: strings.Repeat("x", 1025)},
		} {
			_, err := r.engine.Confirm(t.Context(), admin(), q)
			expectRefusal(t, err, reason)
		}
		time.Sleep(11 * time.Minute)
		expect(t, "question after its deadline", r.task(0, job).GetQuestion() == nil, true)
		_, err = r.confirm(admin(), job, true)
		expectRefusal(t, err, "ASKS_NOTHING")
		r.puts(0, job, "2", "and now?")
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		_, err = r.confirm(admin(), job, true)
		expectRefusal(t, err, "ASKS_NOTHING")
		expect(t, "audit records", r.audited("task.confirm"), 0)
		expect(t, "questions that are kept", r.openQuestions(), 0)
	}, "lyon")
}

func (r *rig) openQuestions() (n int) {
	r.t.Helper()
	if err := r.engine.do(r.t.Context(), func() { n = len(r.engine.questions) }); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// A watcher is told of a question, and of its end.
func TestAWatcherIsToldOfAQuestion(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.runs()
		w, err := r.engine.Watch(t.Context(), admin(), job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		next := func() *fleetv1.Question {
			m, err := w.Next(t.Context())
			if err != nil || len(m.GetTasks()) != 1 {
				t.Fatalf("%v, %v; want news of the task", m, err)
			}
			return m.GetTasks()[0].GetQuestion()
		}
		expect(t, "at first", next() == nil, true)
		r.puts(0, job, "1", "is it lit?")
		expect(t, "when asked", next().GetPrompt(), "is it lit?")
		if _, err := r.confirm(admin(), job, true); err != nil {
			t.Fatal(err)
		}
		expect(t, "when answered", next() == nil, true)
	}, "lyon")
}
