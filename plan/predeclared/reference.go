package predeclared

// Entry describes one name for those who write plans: in the reference page, in
// the stubs for editors, and in messages.
type Entry struct {
	// Name is what follows the group's name and a dot.
	Name string
	// Params are the parameters as Python declares them, in parentheses; empty for
	// a constant or an attribute.
	Params string
	// Type is the Python type of what a call gives, or of the constant.
	Type string
	// Doc is one or more sentences.
	Doc string
	// Example is an expression that uses the name, and Gives what it is equal to;
	// both empty where nothing can be shown.
	Example, Gives string
}

// Group is a set of names: a module, or the attributes of a type.
type Group struct {
	// Name is the module's name; for a type, that of its Python class.
	Name string
	// Type is what type() gives for values of a type; empty for a module.
	Type string
	Doc  string
	// Entries are in order of reading.
	Entries []Entry
}

// Reference describes everything that is predeclared but the messages, which
// describe themselves by their descriptors and by [FieldDoc]. Nobody may change
// what it gives.
func Reference() []Group { return reference }

var reference = []Group{
	{Name: "json", Doc: "Standard JSON. Texts have at most 64 levels and 16 MiB.", Entries: []Entry{
		{"decode", "(x: str, default: Any = ...)", "Any", "The value of a JSON text. Where the text is no JSON, the default, or without one a failure. A number without fraction and exponent is an int.", `json.decode('{"n": 1}')`, `{"n": 1}`},
		{"encode", "(x: Any, /)", "str", "The JSON of a value: None, bool, int, float, string, list, tuple, dict with string keys, struct or message. Keys are in order.", `json.encode({"b": [1, None], "a": True})`, `'{"a":true,"b":[1,null]}'`},
		{"encode_indent", `(x: Any, /, *, prefix: str = "", indent: str = "\t")`, "str", "Like encode, an element a line.", `json.encode_indent([1], indent = " ")`, `"[\n 1\n]"`},
		{"indent", `(text: str, /, *, prefix: str = "", indent: str = "\t")`, "str", "A JSON text, an element a line.", `json.indent("[1]", indent = " ")`, `"[\n 1\n]"`},
	}},
	{Name: "math", Doc: "What gives the same result on every processor. exp, log, pow, sin and their like do not, and are left out.", Entries: []Entry{
		{"ceil", "(x: float, /)", "int", "The least int that is not below x.", "math.ceil(2.1)", "3"},
		{"floor", "(x: float, /)", "int", "The greatest int that is not above x.", "math.floor(-2.1)", "-3"},
		{"round", "(x: float, /)", "float", "The nearest whole number; halves go away from zero.", "math.round(2.5)", "3.0"},
		{"fabs", "(x: float, /)", "float", "The absolute value, as a float.", "math.fabs(-2)", "2.0"},
		{"sqrt", "(x: float, /)", "float", "The square root; nan for a negative number.", "math.sqrt(9)", "3.0"},
		{"mod", "(x: float, y: float, /)", "float", "The remainder of x / y, with the sign of x.", "math.mod(-7, 3)", "-1.0"},
		{"remainder", "(x: float, y: float, /)", "float", "The remainder of x / y, where the quotient is the nearest whole number (IEEE 754).", "math.remainder(7, 4)", "-1.0"},
		{"degrees", "(x: float, /)", "float", "An angle in degrees, from radians.", "math.degrees(math.pi)", "180.0"},
		{"radians", "(x: float, /)", "float", "An angle in radians, from degrees.", "math.radians(180) == math.pi", "True"},
		{"copysign", "(x: float, y: float, /)", "float", "The size of x with the sign of y.", "math.copysign(3, -0.5)", "-3.0"},
		{"pi", "", "float", "3.14159…", "math.floor(math.pi * 100)", "314"},
		{"e", "", "float", "2.71828…", "math.floor(math.e * 100)", "271"},
		{"inf", "", "float", "Positive infinity.", "math.inf > 1e308", "True"},
		{"nan", "", "float", "Not a number.", "str(math.nan)", `"nan"`},
	}},
	{Name: "time", Doc: "Moments and durations. A layout is written as the moment \"Mon Jan 2 15:04:05 2006\" would be. Time zones come with the program; \"Local\" is refused.", Entries: []Entry{
		{"now", "()", "Time", "The timestamp of the record, in UTC. A failure while a plan is loaded.", "", ""},
		{"time", `(*, year: int = ..., month: int = ..., day: int = ..., hour: int = ..., minute: int = ..., second: int = ..., nanosecond: int = ..., location: str = "UTC")`, "Time", "A moment by its parts.", `str(time.time(year = 2026, month = 1, day = 2))`, `"2026-01-02 00:00:00 +0000 UTC"`},
		{"parse_time", `(x: str, format: str = "2006-01-02T15:04:05Z07:00", location: str = "UTC")`, "Time", "A moment from text, by default RFC 3339. The location counts where the text names none.", `time.parse_time("2026-01-02T03:04:05Z").unix`, "1767323045"},
		{"from_timestamp", "(sec: int, nsec: int = 0, /)", "Time", "A moment by seconds and nanoseconds since 1970, in UTC.", "time.from_timestamp(60).minute", "1"},
		{"parse_duration", "(x: str | Duration, /)", "Duration", "A duration from text such as 1h30m.", `time.parse_duration("1h30m").minutes`, "90.0"},
		{"is_valid_timezone", "(name: str, /)", "bool", "Whether there is a time zone of that name.", `time.is_valid_timezone("Europe/Berlin")`, "True"},
		{"nanosecond", "", "Duration", "One nanosecond.", "time.nanosecond.nanoseconds", "1"},
		{"microsecond", "", "Duration", "One microsecond.", "time.microsecond.nanoseconds", "1000"},
		{"millisecond", "", "Duration", "One millisecond.", "time.millisecond.microseconds", "1000"},
		{"second", "", "Duration", "One second.", "time.second.milliseconds", "1000"},
		{"minute", "", "Duration", "One minute.", "time.minute / time.second", "60.0"},
		{"hour", "", "Duration", "One hour.", "(2 * time.hour).minutes", "120.0"},
	}},
	{Name: "Time", Type: "time.time", Doc: "A moment. Moments compare; time - time is a duration, time + duration and time - duration are moments.", Entries: []Entry{
		{"year", "", "int", "The year.", "time.from_timestamp(0).year", "1970"},
		{"month", "", "int", "The month, from 1.", "time.from_timestamp(0).month", "1"},
		{"day", "", "int", "The day of the month, from 1.", "time.from_timestamp(0).day", "1"},
		{"hour", "", "int", "The hour, from 0.", "time.from_timestamp(7200).hour", "2"},
		{"minute", "", "int", "The minute, from 0.", "time.from_timestamp(60).minute", "1"},
		{"second", "", "int", "The second, from 0.", "time.from_timestamp(61).second", "1"},
		{"nanosecond", "", "int", "The nanosecond, from 0.", "time.from_timestamp(0, 5).nanosecond", "5"},
		{"unix", "", "int", "Whole seconds since 1970.", "time.from_timestamp(61).unix", "61"},
		{"unix_nano", "", "int", "Nanoseconds since 1970.", "time.from_timestamp(1, 5).unix_nano", "1000000005"},
		{"format", "(layout: str, /)", "str", "The moment as text.", `time.from_timestamp(0).format("2006-01-02 15:04")`, `"1970-01-01 00:00"`},
		{"in_location", "(name: str, /)", "Time", "The same moment in another time zone.", `time.from_timestamp(0).in_location("Europe/Berlin").hour`, "1"},
	}},
	{Name: "Duration", Type: "time.duration", Doc: "A length of time. Durations compare, add, subtract and divide; they are multiplied with an int, and divided by a number.", Entries: []Entry{
		{"hours", "", "float", "In hours.", "(90 * time.minute).hours", "1.5"},
		{"minutes", "", "float", "In minutes.", "(90 * time.second).minutes", "1.5"},
		{"seconds", "", "float", "In seconds.", "(90 * time.millisecond).seconds", "0.09"},
		{"milliseconds", "", "int", "In whole milliseconds.", "time.second.milliseconds", "1000"},
		{"microseconds", "", "int", "In whole microseconds.", "time.second.microseconds", "1000000"},
		{"nanoseconds", "", "int", "In nanoseconds.", "time.second.nanoseconds", "1000000000"},
	}},
}

// Struct describes struct, the only function at the top.
var Struct = Entry{"struct", "(**fields: Any)", "struct", "A value with the given fields as attributes. It cannot be changed.", `struct(id = "o-1", n = 2).id`, `"o-1"`}

// FieldDoc says what a field of a message is, or a value of an enum, by its name
// "Message.field"; it is empty for those that are not described.
func FieldDoc(name string) string { return fieldDocs[name] }

var fieldDocs = map[string]string{
	"PlanInput":                 "What a plan is asked: the value of a record on plan-inputs-{tenant}. It is frozen.",
	"PlanInput.input_id":        "Identifier of this input.",
	"PlanInput.plan_name":       "The plan that is asked.",
	"PlanInput.task_executions": "The upstream tasks' executions; empty when the graph starts.",
	"PlanInput.graph_id":        "The graph.",
	"PlanInput.lifetime_id":     "The run of the graph.",

	"TaskExecution":                     "One run of a task.",
	"TaskExecution.header":              "Name, attempt, status and the like.",
	"TaskExecution.parent_plan_exec_id": "The plan execution that asked for the task.",
	"TaskExecution.result":              "What the task gave.",
	"TaskExecution.parent_plan_name":    "The plan that asked for the task.",

	"ExecutionHeader":               "What executions of plans and of tasks have in common.",
	"ExecutionHeader.name":          "Name of the plan or task.",
	"ExecutionHeader.exec_id":       "Identifier of this execution.",
	"ExecutionHeader.graph_id":      "The graph.",
	"ExecutionHeader.lifetime_id":   "The run of the graph.",
	"ExecutionHeader.tenant_id":     "The tenant that owns the graph.",
	"ExecutionHeader.attempt":       "Attempt, counted from 1.",
	"ExecutionHeader.iteration_idx": "Turn of a loop in the graph, counted from 0.",
	"ExecutionHeader.created_at":    "When it was created, in RFC 3339; time.parse_time reads it.",
	"ExecutionHeader.status":        "One of ExecutionStatus, or a number that has no name yet.",
	"ExecutionHeader.edge_taken":    "The edge of the graph that led here.",

	"TaskResult":               "What a task gave: data, inline or stored elsewhere, or an error.",
	"TaskResult.id":            "Identifier of the result.",
	"TaskResult.inline_data":   "A payload. It excludes external_data: WhichOneof(\"data\") says which is set.",
	"TaskResult.external_data": "Where the payload is kept. It excludes inline_data.",
	"TaskResult.error_message": "What went wrong in the task; empty where nothing did.",

	"StoredData":          "Points at a payload that is kept elsewhere.",
	"StoredData.uri":      "Where it is.",
	"StoredData.metadata": "Size, type and the like, free form.",

	"PlanResult":                        "What a plan decided. It can be changed until plan() returns it.",
	"PlanResult.upstream_tasks_results": "The results that led here, mostly execution.result of the input.",
	"PlanResult.next_task_names":        "The tasks to run next, at most 100 characters each; none ends the branch.",
	"PlanResult.error_message":          "What went wrong in the graph, in the plan's judgement; cut to 1000 characters.",

	"ExecutionStatus": "The state of an execution, an int.",
	"ExecutionStatus.EXECUTION_STATUS_UNSPECIFIED": "Not set.",
	"ExecutionStatus.EXECUTION_STATUS_PENDING":     "Not begun.",
	"ExecutionStatus.EXECUTION_STATUS_RUNNING":     "Under way.",
	"ExecutionStatus.EXECUTION_STATUS_SUCCEEDED":   "It worked.",
	"ExecutionStatus.EXECUTION_STATUS_FAILED":      "It failed.",

	"Any":          "A payload of some type. It is passed on as it came, and looked into only where a plan asks.",
	"Any.type_url": "The name of its type, after the last slash.",
	"Any.value":    "Its bytes.",
}

// MessageMethods are the methods of every message.
func MessageMethods() []Entry { return messageMethods }

var messageMethods = []Entry{
	{"HasField", "(name: str, /)", "bool", "Whether a sub-message or a member of a oneof is set.", `TaskResult(id = "x").HasField("inline_data")`, "False"},
	{"WhichOneof", "(name: str, /)", "str | None", "The name of the member that is set.", `TaskResult(external_data = StoredData(uri = "s3://x")).WhichOneof("data")`, `"external_data"`},
	{"CopyFrom", "(other: Any, /)", "None", "Makes the message equal to another one.", "", ""},
	{"ClearField", "(name: str, /)", "None", "Unsets a field.", "", ""},
	{"Clear", "()", "None", "Unsets all fields.", "", ""},
}

// AnyMethods are the methods that payloads have beyond those of every message.
func AnyMethods() []Entry { return anyMethods }

var anyMethods = []Entry{
	{"Is", "(name: str | type, /)", "bool", "Whether the payload claims to be of a type, as \"google.protobuf.Struct\".", `TaskResult().inline_data.Is("google.protobuf.Struct")`, "False"},
	{"TypeName", "()", "str", "The name of its type.", "TaskResult().inline_data.TypeName()", `""`},
	{"unpack", "(default: Any = ...)", "Any", "The content: a string, number or bool of a wrapper; a dict, list or value of a Struct, ListValue or Value; the message of another type. Where the bytes are not of the type or nobody knows it, the default, or without one a failure.", `TaskResult().inline_data.unpack("none")`, `"none"`},
}
