package cli

import (
	"context"
	"fmt"

	"starplan/internal/config"
	"starplan/internal/doctor"
)

type doctorCmd struct {
	Flags config.Flags `embed:""`
}

// Help is shown below the flags.
func (doctorCmd) Help() string {
	return `It takes the settings of "starplan run" and looks at everything that the service would need:
the sandbox, the plans, the broker, the topics and the group. It changes nothing and joins no
group. A line for each check; exit code 1 where one failed.

Examples:

  TENANT_ID=acme PLAN_PATH=/plans starplan doctor
  kubectl exec deploy/starplan -- starplan doctor`
}

// Run examines everything and prints a line for each finding.
func (c *doctorCmd) Run(ctx context.Context, p Process) error {
	cfg, err := c.Flags.Resolve()
	if err != nil {
		return usageError{err}
	}
	failed := false
	doctor.Examine(ctx, cfg, func(f doctor.Finding) {
		mark, remedy := "ok  ", ""
		if f.Failed() {
			mark, remedy, failed = "FAIL", "; "+f.Remedy, true
		}
		fmt.Fprintf(p.Stdout, "%s  %s: %s\n", mark, f.Subject, printable(f.Detail+remedy))
	})
	if failed {
		return errFailed
	}
	return nil
}
