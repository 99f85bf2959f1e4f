package plantest

import "starplan/plan/predeclared"

// Reference describes the names that test files have beyond those of plans. Nobody
// may change what it gives.
func Reference() []predeclared.Entry { return reference }

// reference has no examples that stand alone: the names work in tests only.
var reference = []predeclared.Entry{
	{Name: "run", Params: "(plan: Callable, input: PlanInput, now: str = ...)", Type: "PlanResult", Doc: "What the service does with a plan: it calls plan(input), where time.now() is the given moment in RFC 3339 (2026-01-02T03:04:05.678Z), and refuses anything but a PlanResult. The result is frozen."},
	{Name: "plan_input", Params: `(*tasks: TaskExecution, plan_name: str = ..., graph_id: str = "graph", lifetime_id: str = "run", input_id: str = "input")`, Type: "PlanInput", Doc: "An input. plan_name is the plan's by its place, unless given."},
	{Name: "task", Params: `(name: str, result: Payload | StoredData | TaskResult = None, error: str = "", exec_id: str = ..., attempt: int = 1, iteration_idx: int = 0, status: int = ..., edge_taken: str = "", id: str = "", parent_plan_name: str = "", parent_plan_exec_id: str = "")`, Type: "TaskExecution", Doc: "An execution of a task. Its status is SUCCEEDED, or FAILED where there is an error, unless given; exec_id is exec-NAME; id is that of the result."},
	{Name: "stored", Params: "(uri: str, metadata: dict[str, str] = {})", Type: "StoredData", Doc: "Data that is kept elsewhere."},
	{Name: "any.string", Params: "(text: str, /)", Type: "Payload", Doc: "A payload that is a StringValue."},
	{Name: "any.struct", Params: "(fields: dict[str, Any], /)", Type: "Payload", Doc: "A payload that is a Struct."},
	{Name: "any.value", Params: "(x: Any, /)", Type: "Payload", Doc: "A payload that is a Value: None, bool, number, string, list or dict."},
	{Name: "any.raw", Params: "(type_url: str, value: bytes | str)", Type: "Payload", Doc: "A payload as it comes, malformed or not."},
	{Name: "assert.eq", Params: `(got: Any, want: Any, msg: str = "")`, Type: "None", Doc: "got equals want. Lists and maps of a message that can still be changed count as lists and dicts."},
	{Name: "assert.ne", Params: `(got: Any, unwanted: Any, msg: str = "")`, Type: "None", Doc: "got differs from unwanted."},
	{Name: "assert.true", Params: `(condition: Any, msg: str = "")`, Type: "None", Doc: "The condition is true, as in an if."},
	{Name: "assert.contains", Params: `(container: Any, item: Any, msg: str = "")`, Type: "None", Doc: "item in container."},
	{Name: "assert.fails", Params: "(function: Callable, pattern: str)", Type: "str", Doc: "function() fails with a message that matches the regular expression; gives the message."},
	{Name: "assert.succeeds", Params: "(function: Callable)", Type: "Any", Doc: "function() does not fail; gives what it gives."},
	{Name: "t.run", Params: "(name: str, function: Callable, *args: Any, **kwargs: Any)", Type: "None", Doc: "Calls function(*args, **kwargs) as a test of its own. t is the parameter of a test function that has one."},
}
