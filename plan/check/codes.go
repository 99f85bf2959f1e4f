package check

import (
	"starplan/plan"
	"starplan/plan/python"
)

// The codes of findings beside those of [plan.LoadError] and those of package
// python. They are stable: tools match on them.
const (
	CodeUnknownField    = "unknown-field"
	CodeUnknownArgument = "unknown-argument"
	CodeWrongType       = "wrong-type"
	CodeFrozenInput     = "frozen-input"
	CodeReturnsNothing  = "returns-nothing"
	CodeInexactMath     = "inexact-math"
	CodeNeverEqual      = "never-equal"
	CodeUnusedVariable  = "unused-variable"
	CodeUnassigned      = "unassigned-variable"
	CodeUnreachable     = "unreachable"
	CodeRecursion       = "recursion"
	CodeNameTooLong     = "name-too-long"
	CodeUnknownTask     = "unknown-task"
	CodeMissingTask     = "missing-task"
	CodeGraphError      = "graph-error"
	CodeUnknownPlan     = "unknown-plan"
	CodeRequirements    = "python-requirements"
)

// Code describes one code of findings.
type Code struct {
	Code string
	// Severity is the usual one, and the only one unless Meaning says otherwise.
	Severity Severity
	// Meaning says what the finding is, in Markdown.
	Meaning string
}

// Codes lists all codes that findings have, in the order in which they are
// documented.
func Codes() []Code {
	list := []Code{
		{plan.CodeParse, Error, "The text is no Starlark, or breaks a rule of the dialect, as a second assignment to a top-level name. The parser stops there: it is the file's only finding."},
		{plan.CodeUndefined, Error, "A name that is not defined."},
		{plan.CodeMissingPlan, Error, "There is no function `plan(plan_input)`, or a plan of the graph has no file."},
		{plan.CodeNotCallable, Error, "`plan` is something other than a function."},
		{plan.CodeArity, Error, "`plan` cannot be called with one argument."},
		{plan.CodeLoad, Error, "`load()` of a module that is absent, cannot be read, lies outside of the plan's directory, or lacks the name."},
		{plan.CodeLoadCycle, Error, "A module loads itself, directly or through others."},
		{plan.CodeInit, Error, "The top level fails when it runs, be it by the step limit."},
		{"limit-memory", Error, "The top level runs out of memory."},
		{"limit-time", Error, "The top level takes longer than 10 seconds, or than the timeout."},
		{"worker-crash", Error, "The top level crashes the process that it runs in."},
		{plan.CodeSourceLimit, Error, "The text is longer than 256 KiB with all modules."},
		{CodeUnknownField, Error, "A field or method that a value lacks: on `plan_input` and what is reached from it through variables, loops, comprehensions and functions, on messages, strings, lists, dicts and modules."},
		{CodeUnknownArgument, Error, "A keyword that `PlanResult`, `TaskResult` or `StoredData` lacks, or an argument without keyword."},
		{CodeWrongType, Error, "A value of a type that fails where it stands: given to a field, added, called, indexed, looped over, or returned by `plan`."},
		{CodeFrozenInput, Error, "A change of `plan_input` or of something in it. The input never changes."},
		{CodeReturnsNothing, Error, "`plan` returns None, which makes a failed execution. A warning where other paths return a value."},
		{CodeInexactMath, Error, "A function of `math` whose result differs between CPUs."},
		{CodeUnknownTask, Error, "A task that `next_task_names` gets, to which the graph has no edge from this plan. Needs a graph, `--graph` or `--tasks`."},
		{CodeNameTooLong, Error, "A name of a plan or task of more than 100 characters, which consumers cannot store."},
		{CodeGraphError, Error, "The graph does not parse, or breaks a rule: edges go between plans and tasks, each task has one plan before it, each plan has a task."},
		{CodeUnassigned, Error, "A variable of a function is changed, as by `n += 1`, and assigned nowhere in it. That of a function around it is another variable."},
		{CodeNeverEqual, Warning, "A value is compared with what it never equals: a string, number, message or list with None, a number with a string, a field of a message that can be changed with a list or dict."},
		{CodeRecursion, Warning, "A function calls itself, which fails when it gets there."},
		{CodeUnusedVariable, Warning, "A local variable or loaded name that is never read. Names that begin with `_` are left alone."},
		{CodeUnreachable, Warning, "Statements behind a `return`, `break`, `continue` or `fail()`."},
		{CodeUnknownPlan, Warning, "A plan that the graph does not have."},
		{CodeRequirements, Warning, "A `requirements.txt` beside a plan: plans have no packages."},
		{CodeMissingTask, Info, "An edge of the graph to a task that the plan never names."},
	}
	for _, c := range python.Constructs() {
		list = append(list, Code{c.Code, Error, c.Message + ": " + c.Hint + "."})
	}
	return list
}
