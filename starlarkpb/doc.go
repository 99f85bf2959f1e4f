// Package starlarkpb gives protobuf messages to Starlark scripts as values, and
// takes them back.
//
// It works on any message by its descriptor, and follows Python's protobuf where
// Starlark allows it, so that code written for the one reads the same in the
// other. It knows neither plans nor Kafka, and does not use
// go.starlark.net/lib/proto.
//
// # Values
//
//	[FromProto]    a Go message as a frozen [Message]
//	[Constructor]  a message [Type], to be called with keywords: a mutable [Message]
//	[Enum]         the values of an enum as a namespace
//	[Message.Proto] the Go message behind a value
//
// # Reading
//
// Fields are attributes. A sub-message that is not set reads as an empty one, and
// every message is true; ask HasField. Scalars without presence read as zero,
// enums as ints, whether or not the number has a name, bytes as bytes, 64-bit
// integers exactly, float32 widened to a float.
//
// Repeated fields index, slice, iterate and concatenate; maps have get, keys,
// values and items, and iterate in the order of their keys. In a frozen message
// they are Starlark's own frozen list and dict, so that they equal lists and
// dicts. In a mutable message they are a [Repeated] and a [Map], which check what
// is put into them; the interpreter finds these unequal to any list or dict,
// without asking them, so compare list(r.next_task_names) instead. Looking up a
// key that is not there is an error, where Python's maps insert a default.
//
// Methods: Clear, ClearField, CopyFrom, HasField, WhichOneof. Messages are equal if
// their contents are (proto.Equal), cannot be keys of dicts, and render as a call
// of their constructor, cut after [MaxText] bytes.
//
// # Writing
//
// Types and ranges are checked where a value is given, and the error names the
// place: `PlanResult: next_task_names[2]: got int, want string`. An int fits a
// float field, nothing else is converted: bool is no int, a string is not bytes.
// An enum takes an int or the name of a value. A [Check] adds rules of the
// caller's own.
//
// Reading an unset sub-message does not set it; changing it does, and what holds
// it. Where Python refuses to assign to a sub-message, a repeated field or a map,
// we assign a copy. None unsets.
//
// Whatever goes from one message into another is copied, in effect: neither sees
// the other change. The copy is made when one of them is first changed, and one
// level at a time, so handing on a payload of any size is cheap, and its bytes,
// unknown fields included, are those that came in.
//
// Once frozen nothing changes, through any alias: what a frozen message gives out
// is frozen too.
//
// # Any
//
// A google.protobuf.Any has type_url and value, Is(name), TypeName(), unpack() and
// unpack(default). unpack gives wrappers as scalars, Value, Struct and ListValue
// as native values (a number as an int if it stands for exactly one: integral and
// at most 2**53), and other types of the global registry as frozen messages. A
// payload that is malformed or of an unknown type is an error, or the default if
// one is given.
//
// # Bounds
//
// No input makes this package panic or overflow the stack. Messages that scripts
// build nest at most [MaxDepth] deep; one call converts at most [MaxElements]
// values; text, JSON and unpacked payloads are bounded in depth and size. Methods
// that do work in proportion to their operands add to thread.Steps; operators, str
// and json.encode have no thread to charge.
//
// What a message refers to may appear in it many times, shared, so that it is far
// larger on the wire than in memory: a caller that serializes what a script built
// looks at proto.Size first.
package starlarkpb
