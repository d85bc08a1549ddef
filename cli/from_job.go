package cli

import (
	"github.com/spf13/cobra"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// fromJobOptions are the flags that narrow a selection to an earlier job's terminals, or to a part.
type fromJobOptions struct {
	job    string
	failed bool
	limit  string
}

func (o *fromJobOptions) addTo(c *cobra.Command, a *app) {
	f := c.Flags()
	f.StringVar(&o.job, "from-job", "", "only terminals of this earlier `job`")
	f.BoolVar(&o.failed, "failed", false, "with --from-job: only those on which it did not succeed")
	f.StringVar(&o.limit, "limit", "", "only `N or N%` of the terminals that all else leaves, spread evenly")
	mustComplete(c, "from-job", a.completeJobs)
}

// narrow puts what the flags say into a selection and returns every problem with them.
func (o *fromJobOptions) narrow(s *fleetv1.Selection) (problems []string) {
	switch {
	case o.job != "":
		s.FromJob = &fleetv1.FromJob{JobId: o.job, Failed: o.failed}
	case o.failed:
		problems = append(problems, "--failed: says nothing without --from-job")
	}
	s.Limit = parseAmount("--limit", o.limit, &problems)
	return problems
}
