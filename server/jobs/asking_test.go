package jobs

import "testing"

func TestWhoeverFollowsQuestionsIsToldOfThem(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		hinted := func(what string) {
			t.Helper()
			select {
			case <-r.engine.Asked():
			default:
				t.Errorf("%s: there is no hint", what)
			}
		}
		job := r.runs()
		r.puts(0, job, "1", "is it lit?")
		hinted("a question came")
		all, err := r.engine.Asking(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("asking: %v, %v; want one task", all, err)
		}
		expect(t, "plan", all[0].Task.GetQuestion().GetPlanId(), "1")
		expect(t, "action", all[0].Action, job.GetAction())
		if _, err := r.confirm(admin(), job, true); err != nil {
			t.Fatal(err)
		}
		hinted("it was answered")
		if all, err = r.engine.Asking(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("asking after the answer: %v, %v; want none", all, err)
		}
		r.puts(0, job, "2", "and now?")
		hinted("another came")
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		hinted("the task has ended")
	}, "lyon")
}
