package cli

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"starplan/internal/plantest"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/scripts"
)

//go:embed newplan
var newPlan embed.FS

// newPlanName stands for the plan's name in the files of a new plan.
const newPlanName = "PLAN_NAME"

type newCmd struct {
	Name string `arg:"" help:"The plan's name, which is that of its folder."`
	Dir  string `default:"." placeholder:"DIR" help:"Where the folder is made (the present directory)."`
}

// Help is shown below the flags.
func (newCmd) Help() string {
	return `It makes a folder with a plan, its tests, and inputs with the executions that answer them.
Nothing that is there already is changed.

Examples:

  starplan new route_order --dir plans
  starplan test plans/route_order`
}

// planNames are names that are good as a folder's, as a record's key, and as an
// argument of other commands.
var planNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// Run writes a new plan.
func (c *newCmd) Run(ctx context.Context, p Process) error {
	switch {
	case !planNames.MatchString(c.Name):
		return usagef("name: want letters, digits, _, - and ., the first a letter or digit, got %q", c.Name)
	case len(c.Name) > execution.MaxName:
		return usagef("name: want at most %d characters, got %d", execution.MaxName, len(c.Name))
	case strings.HasSuffix(c.Name, ".star"):
		return usagef("name: want the name of a folder, as %q, got %q", strings.TrimSuffix(c.Name, ".star"), c.Name)
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	dir := filepath.Join(c.Dir, c.Name)
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return usagef("%s: is there already; choose another name or --dir", dir)
	} else if err != nil {
		return err
	}
	inputs, err := c.write(dir)
	if err != nil {
		return err
	}
	// The plan is one of ours, so it needs no sandbox.
	_, err = plantest.Run(ctx, plantest.Options{
		Files: inputs, Update: true, Engine: plan.NewInProcess(scripts.Tenant, plan.Limits{}),
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "%s\n", dir)
	fmt.Fprintf(p.Stderr, "try: starplan test %s\n", dir)
	return nil
}

// write writes the files of a plan and gives the paths of its inputs.
func (c *newCmd) write(dir string) (inputs []string, err error) {
	const root = "newplan"
	entries, err := newPlan.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		text, err := newPlan.ReadFile(path.Join(root, entry.Name()))
		if err != nil {
			return nil, err
		}
		name := filepath.Join(dir, entry.Name())
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(string(text), newPlanName, c.Name)), 0o644); err != nil {
			return nil, err
		}
		if strings.HasSuffix(name, plantest.InputSuffix) {
			inputs = append(inputs, name)
		}
	}
	return inputs, nil
}
