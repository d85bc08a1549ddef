package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// mebibyte is in bytes.
	mebibyte = 1 << 20
	// collectTimeout is how long an archive may take.
	collectTimeout = 8 * time.Minute
)

// logsCollect brings the logs that the guide names into an archive. It names sources; where they lie is the agent's business.
type logsCollect struct{}

func (logsCollect) Manifest() *actionv1.Action {
	maxSize := sdk.Integer("max_size", 1, 200, "most of the files that goes into the archive, in MiB; the newest files go in first, and what does not fit is cut and marked")
	maxSize.DefaultValue = "200"
	return &actionv1.Action{
		Name:    "logs-collect",
		Version: "1.0.0",
		Summary: "Bring the logs of a machine into an archive that can be fetched",
		Description: "Reads the log files that the guide names, of every user's profile where they are kept there, without keeping any program from writing to them, and brings them into one zip " +
			"archive with a manifest of names, sizes, times and hashes. Passwords, keys and connection strings in configuration files are masked. Log files name people: the archive is marked as " +
			"personal data, and kept as long as the server keeps such files.",
		Params: []*actionv1.Param{
			sdk.List(sdk.Enum("scope", "nba", "whose logs: nba, the Nymi Band Application; lock-control; nes, the services of the NES host", "nba", "lock-control", "nes")),
			sdk.List(sdk.Enum("include", "", "what else goes in", "install-logs", "event-logs", "service-logs", "instance-config", "endpoint-config", "ziplog")),
			sdk.Enum("service", "", "only this service of the NES host; all of them unless given", "admin", "enrollment", "authentication"),
			sdk.Duration("since", 24*time.Hour, 0, 90*24*time.Hour, "only files that were written to within this time; 0s means all"),
			sdk.Integer("tail", 1, 100_000, "only so many last lines of each file"),
			maxSize,
			sdk.Bool("redact", true, "mask secrets in configuration files"),
		},
		WhenRules: []*actionv1.WhenRule{{
			Param: "redact", Value: "false", Approvals: 1, Reason: "configuration files hold passwords and keys",
		}},
		Capabilities: collectRights(),
		// A run that broke off has left nothing.
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Resources:     []string{"logs"},
		Undo:          "Nothing is changed, so there is nothing to put back.",
		Verifies:      "That an archive with at least one file is kept, under a hash that the server compares when it has come.",
		Source:        "Collecting log files; Support tool",
		Roles:         []string{"user-terminal", neshost.Role},
		MaxDuration:   durationpb.New(10 * time.Minute),
	}
}

// collectRights are the rights to every source that the parameters can mean.
func collectRights() (rights []*actionv1.Capability) {
	for _, source := range []string{
		"nba", "lock-control", "ziplog", "nes-admin", "nes-enrollment", "nes-authentication", "install-logs", "event-logs", "instance-config", "endpoint-config",
	} {
		rights = append(rights, sdk.CollectLogs(source))
	}
	return rights
}

func (logsCollect) Plan(_ context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	sources := sourcesOf(r)
	if r.Terminal().GetRole() != neshost.Role && slices.ContainsFunc(sources, func(s string) bool { return strings.HasPrefix(s, "nes-") }) {
		return sdk.Refuse("the logs of NES were asked for, and this terminal has the role "+r.Terminal().GetRole(), "choose a NES host, or leave scope=nes out"), nil
	}
	asked := &actionv1.Collect{
		Sources: sources, Since: durationpb.New(r.Duration("since")), Tail: uint32(r.Int("tail")), MaxBytes: uint64(r.Int("max_size")) * mebibyte,
		Redact: r.Bool("redact"), Timeout: durationpb.New(collectTimeout),
	}
	return sdk.Ready(sdk.Planned("collect", sdk.Collect(asked), "the files lie on the machine", "a copy of "+strings.Join(sources, ", ")+" is kept for the server")), nil
}

// sourcesOf turns the words of the parameters into the agent's names, each once.
func sourcesOf(r *sdk.Run) (sources []string) {
	for _, scope := range strings.Split(r.String("scope"), ",") {
		if scope == "nes" {
			sources = append(sources, servicesOf(r)...)
			continue
		}
		sources = append(sources, scope)
	}
	for _, extra := range strings.Split(r.String("include"), ",") {
		switch extra {
		case "":
		case "service-logs":
			sources = append(sources, servicesOf(r)...)
		default:
			sources = append(sources, extra)
		}
	}
	slices.Sort(sources)
	return slices.Compact(sources)
}

func servicesOf(r *sdk.Run) []string {
	if one := r.String("service"); one != "" {
		return []string{"nes-" + one}
	}
	return []string{"nes-admin", "nes-enrollment", "nes-authentication"}
}

func (logsCollect) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	r.Progress("reading logs")
	return r.MustDo(ctx, "collect")
}

func (logsCollect) Verify(_ context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	got := r.Effect("collect").GetAfter().GetCollection()
	files := 0
	for _, f := range got.GetFiles() {
		if f.GetSha256() != "" {
			files++
		}
	}
	kept := got.GetArtifact()
	v := sdk.Verdict(
		sdk.Check("archive is kept", "an archive with a hash", archiveWord(kept), kept.GetSha256() != ""),
		sdk.Check("files collected", "at least one", fmt.Sprintf("%d files", files), files > 0),
	)
	switch {
	case files == 0:
		v.NextStep = "ask for a longer since, or see whether the agent's configuration names the folders of the logs"
	case got.GetTruncated():
		v.NextStep = "some files were cut or left out, as the manifest in the archive says; ask for less, with since or tail, to have the rest"
	}
	return v, nil
}

func archiveWord(a *actionv1.ArtifactReference) string {
	if a.GetSha256() == "" {
		return "there is none"
	}
	return fmt.Sprintf("%d bytes, SHA-256 %s", a.GetSize(), a.GetSha256())
}
