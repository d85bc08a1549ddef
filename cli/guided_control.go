package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// guidedVerb completes a command that does something to one task, and prints what became of it.
func guidedVerb(a *app, c *cobra.Command, names []string, run func(ctx context.Context, c *client.Client, args []string) (*fleetv1.GuidedTask, string, error)) *cobra.Command {
	c.Args = takes(len(names), names...)
	c.ValidArgsFunction = byPlace(a.completeGuided)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		server, err := a.connect()
		if err != nil {
			return err
		}
		defer server.Close()
		t, said, err := run(cmd.Context(), server, args)
		if err != nil {
			return err
		}
		return printObject(a, t, t.GetId(), func() { a.out.Line("guided task %s: %s", t.GetId(), said) })
	}
	return c
}

func newGuidedTake(a *app) *cobra.Command {
	r := &fleetv1.TakeGuidedTaskRequest{}
	c := guidedVerb(a, &cobra.Command{
		Use: "take TASK", Short: "Take a guided task: it is yours then",
		Long:    "Takes a guided task, so that others know that somebody is at it. One that somebody else has taken is only given to you with --force.",
		Example: "  fleetctl guided take G-311",
	}, []string{"TASK"}, func(ctx context.Context, c *client.Client, args []string) (*fleetv1.GuidedTask, string, error) {
		r.Id = args[0]
		resp, err := c.Guided.TakeGuidedTask(ctx, r)
		return resp.GetTask(), "is yours; `fleetctl guided show " + args[0] + "` has the steps", err
	})
	c.Flags().BoolVar(&r.Force, "force", false, "even if somebody else has it")
	return c
}

func newGuidedTick(a *app) *cobra.Command {
	r := &fleetv1.TickStepRequest{}
	c := guidedVerb(a, &cobra.Command{
		Use: "tick TASK STEP", Short: "Say that a step was done, or start its clock",
		Long:    "Says that a step was done. Of a step that needs time the first tick starts the clock, and no tick counts before it has run out.",
		Example: "  fleetctl guided tick G-311 1\n  fleetctl guided tick G-311 1 --undo",
	}, []string{"TASK", "STEP"}, func(ctx context.Context, c *client.Client, args []string) (*fleetv1.GuidedTask, string, error) {
		n, err := strconv.ParseUint(args[1], 10, 32)
		if err != nil {
			return nil, "", exit.Errorf(exit.BadInput, "guided task %q: %q is no step", args[0], args[1]).Then("give its number; see `fleetctl guided show %s`", args[0])
		}
		r.Id, r.Step = args[0], uint32(n)
		resp, err := c.Guided.TickStep(ctx, r)
		return resp.GetTask(), "step " + args[1] + " " + tickedWord(resp.GetTask(), r.GetStep()), err
	})
	c.Flags().BoolVar(&r.Undo, "undo", false, "it was not done after all")
	return c
}

func tickedWord(t *fleetv1.GuidedTask, n uint32) string {
	if n < 1 || int(n) > len(t.GetSteps()) {
		return "is ticked"
	}
	switch s := t.GetSteps()[n-1]; {
	case s.GetDone() != nil:
		return "is done, " + stepsWord(t) + " in all"
	case s.GetTimerEnds() != nil:
		return "waits until " + output.UTC(s.GetTimerEnds()) + "; tick it again then"
	default:
		return "is not done"
	}
}

func newGuidedNote(a *app) *cobra.Command {
	r, file := &fleetv1.NoteGuidedTaskRequest{}, ""
	c := guidedVerb(a, &cobra.Command{
		Use: "note TASK TEXT", Short: "Add a note to a guided task, with a file if wanted",
		Long:    "Adds a note to a guided task. --file attaches a file of at most 1 MiB, at most 20 of them to one task.",
		Example: "  fleetctl guided note G-311 \"code is E12\" --file band.jpg",
	}, []string{"TASK", "TEXT"}, func(ctx context.Context, c *client.Client, args []string) (*fleetv1.GuidedTask, string, error) {
		r.Id, r.Text, r.RequestId = args[0], args[1], ulid.Make().String()
		if err := readAttachment(r, file); err != nil {
			return nil, "", err
		}
		resp, err := c.Guided.NoteGuidedTask(ctx, r)
		return resp.GetTask(), "noted", err
	})
	c.Flags().StringVar(&file, "file", "", "attach this `file`, at most 1 MiB")
	return c
}

// maxAttachment is the largest file that is sent, in bytes: the server takes no larger one.
const maxAttachment = 1 << 20

func readAttachment(r *fleetv1.NoteGuidedTaskRequest, file string) error {
	if file == "" {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return exit.Errorf(exit.BadInput, "file %q: %v", file, errors.Unwrap(err)).Then("give a file that can be read")
	}
	if !info.Mode().IsRegular() || info.Size() > maxAttachment || info.Size() == 0 {
		return exit.Errorf(exit.BadInput, "file %q: has %d bytes, want a plain file of 1 byte to 1 MiB", file, info.Size()).Then("compress it or attach a part of it")
	}
	if r.File, err = os.ReadFile(file); err != nil {
		return exit.Errorf(exit.BadInput, "file %q: %v", file, err)
	}
	r.FileName = filepath.Base(file)
	return nil
}

func newGuidedFile(a *app) *cobra.Command {
	out := ""
	c := guidedVerb(a, &cobra.Command{
		Use: "file TASK NAME", Short: "Fetch a file that was attached to a guided task",
		Long:    "Fetches a file that was attached to a guided task, by its name or its SHA-256. Of several with one name the last is meant.",
		Example: "  fleetctl guided file G-311 band.jpg --out band.jpg",
	}, []string{"TASK", "NAME"}, func(ctx context.Context, c *client.Client, args []string) (*fleetv1.GuidedTask, string, error) {
		resp, err := c.Guided.GetGuidedTask(ctx, &fleetv1.GetGuidedTaskRequest{Id: args[0]})
		if err != nil {
			return nil, "", err
		}
		return resp.GetTask(), args[1] + " is in " + out, fetchGuidedFile(ctx, c, resp.GetTask(), args[1], out)
	})
	c.Flags().StringVar(&out, "out", "", "write it to this `file`, which must not exist")
	return c
}

func fetchGuidedFile(ctx context.Context, c *client.Client, t *fleetv1.GuidedTask, name, out string) error {
	if out == "" {
		return exit.Errorf(exit.BadInput, "file %q: --out is missing", name).Then("say where it goes, with --out")
	}
	hash := ""
	for _, n := range t.GetNotes() {
		if n.GetFileSha256() != "" && (n.GetFileName() == name || n.GetFileSha256() == name) {
			hash = n.GetFileSha256()
		}
	}
	if hash == "" {
		return exit.Errorf(exit.NotFound, "guided task %q: has no file %q", t.GetId(), name).Then("see `fleetctl guided show %s`", t.GetId())
	}
	resp, err := c.Guided.ReadAttachment(ctx, &fleetv1.ReadAttachmentRequest{Id: t.GetId(), FileSha256: hash})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return exit.Errorf(exit.BadInput, "file %q: exists", out).Then("choose another name")
	}
	if err != nil {
		return notWritable(err)
	}
	_, err = f.Write(resp.GetFile())
	if err = errors.Join(err, f.Close()); err != nil {
		return notWritable(err)
	}
	return nil
}

func newGuidedEscalate(a *app) *cobra.Command {
	r := &fleetv1.EscalateGuidedTaskRequest{}
	c := guidedVerb(a, &cobra.Command{
		Use: "escalate TASK", Short: "Hand a guided task on to another person or role",
		Long:    "Hands a guided task on: to whom --to names, else to whom its entry does.",
		Example: "  fleetctl guided escalate G-311 --to it-operations --reason \"nobody answers\"",
	}, []string{"TASK"}, func(ctx context.Context, c *client.Client, args []string) (*fleetv1.GuidedTask, string, error) {
		r.Id = args[0]
		resp, err := c.Guided.EscalateGuidedTask(ctx, r)
		return resp.GetTask(), "is for " + resp.GetTask().GetAssignee() + " now", err
	})
	c.Flags().StringVar(&r.To, "to", "", "an `operator` or a role")
	addReason(c, &r.Reason)
	return c
}

func newGuidedDone(a *app) *cobra.Command {
	r, not, needless := &fleetv1.CloseGuidedTaskRequest{}, false, false
	c := guidedVerb(a, &cobra.Command{
		Use: "done TASK", Short: "Close a guided task and say what came of it",
		Long: `Closes a guided task as fixed, or with --not-fixed or --not-needed. Where an agent sees whether the fault is gone, the fault goes by that and
not by what you say. Closing the question of a running job answers it: fixed is yes, all else is no. Some tasks ask for the name of
who did it, and some have to be closed by somebody else than who made them.`,
		Example: "  fleetctl guided done G-311 --note \"plugged in\"\n  fleetctl guided done G-312 --named \"R. Admin\"\n  fleetctl guided done G-313 --not-fixed",
	}, []string{"TASK"}, func(ctx context.Context, c *client.Client, args []string) (*fleetv1.GuidedTask, string, error) {
		r.Id, r.Outcome = args[0], fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED
		switch {
		case not && needless:
			return nil, "", exit.Errorf(exit.BadInput, "guided task %q: --not-fixed and --not-needed exclude each other", args[0])
		case not:
			r.Outcome = fleetv1.GuidedOutcome_GUIDED_OUTCOME_NOT_FIXED
		case needless:
			r.Outcome = fleetv1.GuidedOutcome_GUIDED_OUTCOME_NOT_NEEDED
		}
		resp, err := c.Guided.CloseGuidedTask(ctx, r)
		return resp.GetTask(), closedWord(resp.GetTask()), err
	})
	c.Flags().BoolVar(&not, "not-fixed", false, "it did not help")
	c.Flags().BoolVar(&needless, "not-needed", false, "there was nothing to do")
	c.Flags().StringVar(&r.Note, "note", "", "what else is to be known")
	c.Flags().StringVar(&r.Named, "named", "", "the `person` whom the task wants named")
	return c
}

// closedWord says what follows from closing a task.
func closedWord(t *fleetv1.GuidedTask) string {
	said := "closed as " + guidedState(t)
	if t.GetNamed() != "" {
		said += "; " + namedWord(t)
	}
	if t.GetFaultId() != "" && t.GetOutcome() == fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED {
		said += "; fault " + t.GetFaultId() + " ends when the agent sees that it is gone, where it can"
	}
	return said
}

func newGuidedCreate(a *app) *cobra.Command {
	r, params := &fleetv1.CreateGuidedTaskRequest{}, []string(nil)
	c := guidedVerb(a, &cobra.Command{
		Use: "create ENTRY", Short: "Make a guided task of an entry of the catalogue",
		Long:    "Makes a guided task of an entry of the catalogue, for a terminal, a band or a site. Where one is open for the same it is that one.",
		Example: "  fleetctl guided create band-auth-failure --band AAAH-00125\n  fleetctl guided create band-lockout --band AAAH-00125 --param failures=7",
	}, []string{"ENTRY"}, func(ctx context.Context, c *client.Client, args []string) (*fleetv1.GuidedTask, string, error) {
		r.Entry, r.RequestId, r.Params = args[0], ulid.Make().String(), map[string]string{}
		for _, p := range params {
			name, value, ok := strings.Cut(p, "=")
			if !ok {
				return nil, "", exit.Errorf(exit.BadInput, "--param %q: is no NAME=VALUE", p)
			}
			r.Params[name] = value
		}
		resp, err := c.Guided.CreateGuidedTask(ctx, r)
		return resp.GetTask(), "is open for " + resp.GetTask().GetAssignee() + "; `fleetctl guided show " + resp.GetTask().GetId() + "` has the steps", err
	})
	c.ValidArgsFunction = nil
	f := c.Flags()
	f.StringVar(&r.Terminal, "terminal", "", "the `terminal` that it is about")
	f.StringVar(&r.Band, "band", "", "the `serial` of the band that it is about")
	f.StringVar(&r.Site, "site", "", "the `site` that it is about")
	f.StringVar(&r.Note, "note", "", "why")
	f.StringVar(&r.Assignee, "assignee", "", "for which `operator` or role, when it is another than the entry says")
	f.StringArrayVar(&params, "param", nil, "what the entry asks for, as `NAME=VALUE`")
	mustComplete(c, "terminal", a.completeTerminals)
	mustComplete(c, "band", a.completeBands)
	mustComplete(c, "site", a.completeSites)
	return c
}
