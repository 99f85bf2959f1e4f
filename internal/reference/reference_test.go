package reference_test

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"

	"starplan/internal/plantest"
	"starplan/internal/reference"
	"starplan/plan/predeclared"
)

var update = flag.Bool("update", false, "rewrite docs/plan-reference.md")

// TestPage holds the page in docs to the table.
func TestPage(t *testing.T) {
	const name = "../../docs/plan-reference.md"
	want := reference.Page(reference.Extra{
		Title:   "In test files",
		Doc:     "These names are known in `*_test.star` files only; [testing-plans.md](testing-plans.md) explains them.",
		Entries: plantest.Reference(),
	})
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not up to date; run go test ./internal/reference -update (-want +page):\n%s", name, diff)
	}
}

// TestStubsNameEverything looks for each name in the stub.
func TestStubsNameEverything(t *testing.T) {
	stub := reference.Stubs()
	for name := range predeclared.Values() {
		if starlark.Universe.Has(name) {
			continue // Python has it, too.
		}
		if !regexp.MustCompile(`(?m)^(class |def )?` + name + `[:(]`).MatchString(stub) {
			t.Errorf("the stub does not define %s", name)
		}
	}
	for _, want := range []string{
		"    task_executions: list[TaskExecution]\n",
		"    metadata: dict[str, str]\n",
		"    inline_data: Payload\n",
		"    def __init__(self, *, upstream_tasks_results: Iterable[TaskResult] | None = None, next_task_names: Iterable[str] | None = None, error_message: str | None = None) -> None: ...\n",
		"    def decode(self, x: str, default: Any = ...) -> Any:\n",
		"    def unpack(self, default: Any = ...) -> Any:\n",
		"    def now(self) -> Time:\n",
		"    pi: float\n",
	} {
		if !strings.Contains(stub, want) {
			t.Errorf("the stub lacks %q", want)
		}
	}
	if strings.Contains(stub, "PlanExecution") {
		t.Error("the stub has a message that plans never see")
	}
}

// TestStubsArePython has Python compile the stub, where there is one.
func TestStubsArePython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("there is no python3")
	}
	name := filepath.Join(t.TempDir(), "__builtins__.pyi")
	if err := os.WriteFile(name, []byte(reference.Stubs()), 0o600); err != nil {
		t.Fatal(err)
	}
	const program = `
import ast, sys
tree = ast.parse(open(sys.argv[1]).read())
for node in tree.body:
    if isinstance(node, ast.ClassDef):
        assert ast.get_docstring(node), node.name
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                assert ast.get_docstring(method), method.name
                assert method.returns is not None, method.name
print(len(tree.body))
`
	if out, err := exec.CommandContext(t.Context(), python, "-c", program, name).CombinedOutput(); err != nil {
		t.Errorf("Python refuses the stub: %v\n%s", err, out)
	}
}
