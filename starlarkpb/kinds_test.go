package starlarkpb_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// kindsFile declares a message with a field of each kind, which our own messages
// have not.
const kindsFile = `
name: "kinds.proto" syntax: "proto3"
enum_type { name: "Color" value { name: "RED" number: 0 } value { name: "BLUE" number: 2 } }
message_type {
  name: "Kinds"
  field { name: "b" number: 1 label: LABEL_OPTIONAL type: TYPE_BOOL }
  field { name: "i32" number: 2 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "s32" number: 3 label: LABEL_OPTIONAL type: TYPE_SINT32 }
  field { name: "u32" number: 4 label: LABEL_OPTIONAL type: TYPE_UINT32 }
  field { name: "i64" number: 5 label: LABEL_OPTIONAL type: TYPE_INT64 }
  field { name: "s64" number: 6 label: LABEL_OPTIONAL type: TYPE_SINT64 }
  field { name: "u64" number: 7 label: LABEL_OPTIONAL type: TYPE_UINT64 }
  field { name: "sf32" number: 8 label: LABEL_OPTIONAL type: TYPE_SFIXED32 }
  field { name: "f32" number: 9 label: LABEL_OPTIONAL type: TYPE_FIXED32 }
  field { name: "f" number: 10 label: LABEL_OPTIONAL type: TYPE_FLOAT }
  field { name: "sf64" number: 11 label: LABEL_OPTIONAL type: TYPE_SFIXED64 }
  field { name: "f64" number: 12 label: LABEL_OPTIONAL type: TYPE_FIXED64 }
  field { name: "d" number: 13 label: LABEL_OPTIONAL type: TYPE_DOUBLE }
  field { name: "s" number: 14 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "by" number: 15 label: LABEL_OPTIONAL type: TYPE_BYTES }
  field { name: "e" number: 16 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".Color" }
  field { name: "m" number: 17 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".Kinds" }
  field { name: "ri" number: 18 label: LABEL_REPEATED type: TYPE_INT32 }
  field { name: "rm" number: 19 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".Kinds" }
  field { name: "mi" number: 20 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".Kinds.MiEntry" }
  field { name: "mb" number: 21 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".Kinds.MbEntry" }
  field { name: "oi" number: 22 label: LABEL_OPTIONAL type: TYPE_INT32 oneof_index: 0 }
  field { name: "os" number: 23 label: LABEL_OPTIONAL type: TYPE_STRING oneof_index: 0 }
  field { name: "om" number: 24 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".Kinds" oneof_index: 0 }
  field { name: "opt" number: 25 label: LABEL_OPTIONAL type: TYPE_INT32 oneof_index: 1 proto3_optional: true }
  field { name: "re" number: 26 label: LABEL_REPEATED type: TYPE_ENUM type_name: ".Color" }
  field { name: "rf" number: 27 label: LABEL_REPEATED type: TYPE_FLOAT }
  field { name: "rb" number: 28 label: LABEL_REPEATED type: TYPE_BYTES }
  field { name: "mi32" number: 29 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".Kinds.Mi32Entry" }
  field { name: "mu32" number: 30 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".Kinds.Mu32Entry" }
  field { name: "mu64" number: 31 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".Kinds.Mu64Entry" }
  oneof_decl { name: "choice" }
  oneof_decl { name: "_opt" }
  nested_type {
    name: "Mi32Entry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_INT32 }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_BYTES }
  }
  nested_type {
    name: "Mu32Entry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_FIXED32 }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_FLOAT }
  }
  nested_type {
    name: "Mu64Entry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_UINT64 }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".Color" }
  }
  nested_type {
    name: "MiEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_INT64 }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".Kinds" }
  }
  nested_type {
    name: "MbEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_BOOL }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_DOUBLE }
  }
}
message_type {
  name: "list"
  field { name: "in" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
}
`

// kinds gives an empty message of that type, on dynamicpb.
func kinds(t testing.TB) proto.Message { return dynamicMessage(t, "Kinds") }

func dynamicMessage(t testing.TB, name string) proto.Message {
	t.Helper()
	fdp := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(kindsFile), fdp); err != nil {
		t.Fatal(err)
	}
	file, err := protodesc.NewFile(fdp, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range file.Messages().Len() {
		if md := file.Messages().Get(i); string(md.Name()) == name {
			return dynamicpb.NewMessage(md)
		}
	}
	t.Fatalf("no message %s", name)
	return nil
}
