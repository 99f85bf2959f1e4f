// Package plan holds plans: their sources, how they are compiled and run under
// limits, and the catalog of those that a process serves.
//
// A plan is a Starlark file that defines
//
//	def plan(plan_input):
//	    return PlanResult(next_task_names = ["ship"])
//
// The package has three layers, each usable alone:
//
//   - [Source] is the text of a plan with all modules that it loads, identified
//     by a digest. It can be read from disk ([ReadFile]) or built from text
//     ([NewSource]), and handed to another process.
//   - [Program] is a compiled Source. [Program.Run] is a pure function of the
//     record and the limits: no clock, no randomness, no map order.
//   - [Catalog] serves the plans of a file or directory by record key, through an
//     [Engine] that runs them, and reloads them without losing a record.
//
// # Dialect
//
// Starlark with the rules of Bazel: no recursion, no while, no assignment to a
// top-level name twice, globals frozen once the top level has run. Top-level if
// and for are allowed, and so is the set type. Module names in load() are literal
// paths relative to the plan's own directory, whichever module names them; a
// module's top level runs once, before that of the module that loads it, and on
// the same step budget. The predeclared names are those of package predeclared.
//
// # Errors of plans
//
// A plan that cannot be loaded gives a [*LoadError], "plan.star:3:1: what is
// wrong". A plan that fails gives a FAILED execution whose message comes first
// and whose position comes last, in parentheses:
//
//	fail: no task executions (plan.star:12:5)
//
// The position is the innermost frame in the plan's own files. A message too
// long for consumers is cut in the middle of the text, never in the position.
//
// A Go panic in a builtin is a fault of this program, not of the plan. It is
// answered all the same, as a failure of the plan (reason "plan") whose message
// begins with "internal error", since the same record would meet it again in
// every worker.
package plan
