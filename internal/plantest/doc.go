// Package plantest runs the tests of plans: test functions in *_test.star files,
// and golden cases that lie beside a plan as CASE.input.json and CASE.want.json.
//
//	load("plan.star", "plan")
//
//	def test_goes_on():
//	    result = run(plan, plan_input(task("fetch", result = any.string("a page"))))
//	    assert.eq(result.next_task_names, ["ship"])
//
// A test file loads what it tests, by the same rules as a plan loads a module:
// below its own directory. Its functions whose names begin with test_ are the
// tests, each on a thread and a step budget of its own, several at a time. A test
// takes no parameter, or one, t, for tests within tests:
//
//	def test_table(t):
//	    for case in CASES:
//	        t.run(case.name, _check, case)
//
// The names that tests have beyond those of plans (assert, run, task, plan_input,
// any, stored) are known in *_test.star files only. The modules that they load
// see what they see in the service, so a plan cannot pass its tests by a name
// that will not be there.
//
// # Isolation
//
// Golden cases run through a [plan.Engine], which is the service's sandbox where
// it is a pool of workers. Test files run in this process, under the limits of
// steps and wall clock, but not of memory: run those that you would run yourself.
//
// # Coverage
//
// The interpreter records positions only for operations that can fail, so what it
// executes cannot be traced back to lines. Instead the syntax tree of each module
// gets a call before every statement. The calls give back the steps that they
// take, so that step limits strike within a few steps of where they would without:
// blocks that are no longer the same are not compiled to quite the same jumps.
package plantest
