//go:build planted

package planted

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience bounds one run of a test on one bug.
const patience = 5 * time.Minute

// bug is a patch and the test that must catch it.
type bug struct {
	patch string
	// pkg and test say which test, and tags with which build tags, if any.
	pkg, test, tags string
}

const (
	e2e    = "./deploy/e2e"
	runner = "./agent/runner"
	jobs   = "./server/jobs"
	faults = "./server/faults"
	policy = "./server/policy"
	reflex = "./agent/reflex"
)

// bugs are all that are planted. A patch that is not named here, or does not apply any more, fails the test.
func bugs() []bug {
	return []bug{
		{patch: "no-sync", pkg: e2e, test: "TestRealSyncBeforeAnswer", tags: "real"},
		{patch: "commit-returns-early", pkg: e2e, test: "TestRealSyncBeforeAnswer", tags: "real"},
		{patch: "journal-returns-early", pkg: e2e, test: "TestRealSyncOfAResult", tags: "real"},
		{patch: "ack-before-commit", pkg: e2e, test: "TestRealSyncOfAResult", tags: "real"},
		{patch: "no-checksum", pkg: "./deploy/faults", test: "TestDamagedTail"},
		{patch: "no-audit", pkg: e2e, test: "TestCrashPoints/agent_ACCEPTED,_nobody_told"},
		{patch: "no-idempotency", pkg: e2e, test: "TestCrashPoints/server_after_it_commits_the_job"},
		{patch: "no-permit", pkg: e2e, test: "TestCrashPoints/agent_ACCEPTED,_cancelled_meanwhile"},
		{patch: "no-undo-after-crash", pkg: runner, test: "TestRecoveredResults"},
		{patch: "one-shot-again", pkg: e2e, test: "TestCrashPoints/agent_after_the_deed,_one-shot"},
		{patch: "verified-always", pkg: e2e, test: "TestCrashPoints/agent_before_the_deed"},
		{patch: "lost-journal-forgiven", pkg: jobs, test: "TestReconnect"},
		{patch: "restore-keeps-epoch", pkg: "./server/upkeep", test: "TestRestoreReplacesOnlyWhenAskedAndRaisesTheEpoch"},
		{patch: "permit-unmarked", pkg: jobs, test: "TestReconnect"},
		{patch: "no-dedupe", pkg: runner, test: "TestCrashAnywhere"},
		{patch: "no-undo", pkg: runner, test: "TestCrashAnywhere"},
		{patch: "no-expiry", pkg: runner, test: "TestRecoveredResults"},
		{patch: "no-compare-and-swap", pkg: runner, test: "TestUndoGoesOn"},
		{patch: "window-ignored", pkg: jobs, test: "TestNothingIsLostAndNothingRunsTwice"},
		{patch: "pause-ignored", pkg: jobs, test: "TestNothingIsLostAndNothingRunsTwice"},
		{patch: "pause-unsent", pkg: jobs, test: "TestAPauseReachesWhatWasSent"},
		{patch: "floor-ignored", pkg: jobs, test: "TestNothingIsLostAndNothingRunsTwice"},
		{patch: "wave-ignored", pkg: jobs, test: "TestACanaryGoesFirst"},
		{patch: "approval-ignored", pkg: jobs, test: "TestAJobWaitsForItsApprovals"},
		{patch: "own-approval", pkg: jobs, test: "TestWhoMayNotApprove"},
		{patch: "digest-ignored", pkg: jobs, test: "TestAPluginThatChangesBeforeAllHaveApproved"},
		{patch: "hold-ignored", pkg: runner, test: "TestHold"},
		{patch: "cancel-ignored", pkg: runner, test: "TestCancel"},
		{patch: "binding-left-bare", pkg: runner, test: "TestACrashWhileNothingIsBound"},
		{patch: "binding-not-taken-back", pkg: runner, test: "TestAFailedBindingIsTakenBackAtOnce"},
		{patch: "certificate-pulled-away", pkg: runner, test: "TestACertificateThatIsServedElsewhere"},
		{patch: "program-left-running", pkg: runner, test: "TestProgramsEndWithTheAgent"},
		{patch: "news-acked-early", pkg: "./server/sessions", test: "TestNewsIsStoredWhenTheDiskIsBack"},
		{patch: "news-folded-when-sent", pkg: "./agent/news", test: "TestNothingIsFoldedIntoWhatMayHaveBeenSent"},
		{patch: "gone-ignored", pkg: faults, test: "TestALifeOfAFault"},
		{patch: "member-not-held", pkg: faults, test: "TestFiveHundredTerminalsLoseOneNESHost"},
		{patch: "history-acted-on", pkg: faults, test: "TestWhatStoodInALogIsNotDue"},
		{patch: "breaker-forgotten", pkg: reflex, test: "TestTheBreakerOpensAfterThreeTries"},
		{patch: "reflex-at-once", pkg: reflex, test: "TestWithASessionTheServerDecides"},
		{patch: "guess-acted-on", pkg: policy, test: "TestWhatIsUnsureStartsNothing"},
		{patch: "freeze-ignored", pkg: policy, test: "TestFrozenMeansNothing"},
		{patch: "remedy-twice", pkg: policy, test: "TestKilledAnywhereThereIsOneJob"},
		{patch: "reporter-closes-own", pkg: "./server/guided", test: "TestWhoMadeATaskDoesNotCloseIt"},
		{patch: "notice-passed-unsent", pkg: "./server/notify", test: "TestADeadReceiverLosesNothing"},
		{patch: "pack-unsigned", pkg: "./server/catalogue", test: "TestBadPacksAreRefused"},
		{patch: "name-unmasked", pkg: "./agent/logs", test: "TestMasking"},
		{patch: "edit-changes-line-ends", pkg: "./agent/configfile", test: "TestEditTOML"},
	}
}

// TestPlantedBugsAreCaught first runs the tests without a bug, for only then a failure means something, and then each on its bug.
func TestPlantedBugsAreCaught(t *testing.T) {
	tree := copyTree(t)
	checkEveryPatchIsNamed(t)
	for pkg, tests := range byPackage() {
		if out, err := run(t, tree, pkg, "real", tests); err != nil {
			t.Fatalf("%s %s fails without any bug: %v\n%s", pkg, tests, err, out)
		}
	}
	for _, b := range bugs() {
		t.Run(b.patch, func(t *testing.T) {
			apply(t, tree, b.patch)
			defer apply(t, tree, b.patch, "--reverse")
			out, err := run(t, tree, b.pkg, b.tags, exactly(b.test))
			top, _, _ := strings.Cut(b.test, "/")
			var exit *exec.ExitError
			switch caught := errors.As(err, &exit) && strings.Contains(out, "--- FAIL: "+top); {
			case err == nil:
				t.Errorf("%s %s passes although %s: the test does not see it", b.pkg, b.test, b.patch)
			case !caught:
				t.Errorf("%s %s does not fail by its own judgement: %v\n%s", b.pkg, b.test, err, out)
			}
		})
	}
}

func checkEveryPatchIsNamed(t *testing.T) {
	t.Helper()
	patches, err := filepath.Glob("*.patch")
	if err != nil || len(patches) < 10 {
		t.Fatalf("%d patches (%v), want at least 10", len(patches), err)
	}
	for _, p := range patches {
		named := slices.ContainsFunc(bugs(), func(b bug) bool { return b.patch+".patch" == p })
		if !named {
			t.Errorf("%s: no test is named that must catch it", p)
		}
	}
}

// byPackage is the pattern of all tests of each package that are named.
func byPackage() map[string]string {
	tests, cases := make(map[string][]string), make(map[string][]string)
	for _, b := range bugs() {
		test, one, _ := strings.Cut(b.test, "/")
		tests[b.pkg] = append(tests[b.pkg], test)
		if one != "" {
			cases[b.pkg] = append(cases[b.pkg], regexp.QuoteMeta(one))
		}
	}
	patterns := make(map[string]string)
	for pkg, names := range tests {
		patterns[pkg] = "^(" + strings.Join(names, "|") + ")$"
		if len(cases[pkg]) > 0 {
			patterns[pkg] += "/^(" + strings.Join(cases[pkg], "|") + ")$"
		}
	}
	return patterns
}

// run runs tests of a package in the tree and returns what they wrote.
func run(t *testing.T, tree, pkg, tags, pattern string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count", "1", "-tags", tags, "-timeout", "4m", "-run", pattern, pkg)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// exactly is the pattern that means one test or one case of it.
func exactly(test string) string {
	parts := strings.Split(test, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// apply plants a bug, or takes it away.
func apply(t *testing.T, tree, patch string, options ...string) {
	t.Helper()
	path, err := filepath.Abs(patch + ".patch")
	if err != nil {
		t.Fatal(err)
	}
	// One line of context is enough, so that a patch outlives changes near it.
	cmd := exec.Command("git", append(append([]string{"apply", "-C1", "--verbose"}, options...), path)...)
	cmd.Dir = tree
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "Skipped") {
		t.Fatalf("%s does not apply any more: make it anew from the present code (%v)\n%s", patch, err, out)
	}
}

// copyTree copies what git knows of the working tree, or would know.
func copyTree(t *testing.T) string {
	t.Helper()
	const top = "../../.."
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = top
	names, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	tree := filepath.Join(t.TempDir(), "tree")
	for _, name := range strings.Split(strings.TrimRight(string(names), "\x00"), "\x00") {
		if err := copyFile(filepath.Join(top, name), filepath.Join(tree, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(fmt.Errorf("copy the tree: %w", err))
		}
	}
	return tree
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
