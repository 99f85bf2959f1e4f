package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"starplan/internal/config"
	"starplan/internal/doctor"
)

type doctorCmd struct {
	Flags  config.Flags `embed:""`
	Format string       `enum:"text,json" default:"text" placeholder:"FORM" help:"text, or json: one object a line (${default})."`
}

// Help is shown below the flags.
func (doctorCmd) Help() string {
	return `It takes the settings of "starplan run" and looks at everything that the service would need:
sandbox, plans, encryption, credentials, topics, rights, the group with its members and offsets. It
changes nothing and joins no group. A line for each check, with what to do where it failed; exit
code 1 where one did. A note is no failure.

Examples:

  TENANT_ID=acme PLAN_PATH=/plans starplan doctor
  starplan doctor --format json | jq 'select(.status == "fail")'
  kubectl exec deploy/starplan -- starplan doctor`
}

// Run examines everything and prints a line for each finding.
func (c *doctorCmd) Run(ctx context.Context, p Process) error {
	cfg, err := c.Flags.Resolve()
	if err != nil {
		return usageError{err}
	}
	failed := false
	var printErr error
	enc := json.NewEncoder(p.Stdout)
	enc.SetEscapeHTML(false)
	doctor.Examine(ctx, cfg, func(f doctor.Finding) {
		failed = failed || f.Status == doctor.Fail
		var err error
		if c.Format == "json" {
			err = enc.Encode(f)
		} else {
			err = printFinding(p.Stdout, f)
		}
		printErr = errors.Join(printErr, err)
	})
	if failed && printErr == nil {
		return errFailed
	}
	return printErr
}

// printFinding prints one line for people.
func printFinding(w io.Writer, f doctor.Finding) error {
	mark := map[doctor.Status]string{doctor.OK: "ok  ", doctor.Note: "note", doctor.Fail: "FAIL"}[f.Status]
	text := f.Detail
	if f.Remedy != "" {
		text += "; " + f.Remedy
	}
	_, err := fmt.Fprintf(w, "%s  %s: %s\n", mark, printable(f.Subject), printable(text))
	return err
}
