package starlarkpb

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	// The well-known types that a payload may have.
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
)

// maxPayloadDepth bounds the nesting of messages in a payload that is unpacked.
// A JSON level of google.protobuf.Struct takes three levels of messages.
const maxPayloadDepth = 4 * maxNativeDepth

const anyName = protoreflect.FullName("google.protobuf.Any")

// isAny reports whether md is google.protobuf.Any, with the fields it must have.
func isAny(md protoreflect.MessageDescriptor) bool {
	if md.FullName() != anyName {
		return false
	}
	url, value := md.Fields().ByNumber(1), md.Fields().ByNumber(2)
	return url != nil && value != nil &&
		url.Kind() == protoreflect.StringKind && !url.IsList() &&
		value.Kind() == protoreflect.BytesKind && !value.IsList()
}

func anyParts(m protoreflect.Message) (url string, payload []byte) {
	fields := m.Descriptor().Fields()
	return m.Get(fields.ByNumber(1)).String(), m.Get(fields.ByNumber(2)).Bytes()
}

// messageName is what follows the last slash of a type URL.
func messageName(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// decodeAny decodes a payload. The message it gives is new.
func decodeAny(url string, payload []byte) (protoreflect.Message, error) {
	if url == "" {
		return nil, errors.New("type_url is empty")
	}
	mt, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err != nil {
		return nil, fmt.Errorf("unknown type_url %s", quote(url))
	}
	msg := mt.New()
	options := proto.UnmarshalOptions{RecursionLimit: maxPayloadDepth}
	if err := options.Unmarshal(payload, msg.Interface()); err != nil {
		return nil, fmt.Errorf("value is no %s, which type_url %s promises", messageName(url), quote(url))
	}
	return msg, nil
}

// anyIs reports whether the payload claims to be of a type, given as its full
// name, a type URL or a [Type]. It does not look at the payload.
func anyIs(_ *starlark.Thread, m *Message, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &v); err != nil {
		return nil, err
	}
	url, _ := anyParts(m.msg)
	// As in Python: a type URL without a slash claims nothing.
	have := ""
	if strings.Contains(url, "/") {
		have = messageName(url)
	}
	switch v := v.(type) {
	case starlark.String:
		return starlark.Bool(have != "" && have == messageName(string(v))), nil
	case *Type:
		return starlark.Bool(have == string(v.Descriptor().FullName())), nil
	}
	return nil, fmt.Errorf(`%s: got %s, want the name of a message, as "google.protobuf.StringValue"`, b.Name(), v.Type())
}

func anyTypeName(_ *starlark.Thread, m *Message, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 0); err != nil {
		return nil, err
	}
	url, _ := anyParts(m.msg)
	return starlark.String(messageName(url)), nil
}

// anyUnpack decodes the payload: wrappers, Value, Struct and ListValue to native
// values, other registered types to frozen messages. Where that fails, and a
// default is given, it gives the default.
func anyUnpack(thread *starlark.Thread, m *Message, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var dflt starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "default?", &dflt); err != nil {
		return nil, err
	}
	url, payload := anyParts(m.msg)
	charge(thread, 1+len(payload)/stepBytes)
	v, err := unpack(thread, url, payload)
	if err != nil && dflt != nil {
		return dflt, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; give a default to tolerate that", b.Name(), err)
	}
	return v, nil
}

func unpack(thread *starlark.Thread, url string, payload []byte) (starlark.Value, error) {
	msg, err := decodeAny(url, payload)
	if err != nil {
		return nil, err
	}
	if !isNative(msg.Descriptor()) {
		return newView(msg), nil
	}
	v, err := toNative(msg, thread)
	if err != nil {
		return nil, fmt.Errorf("type_url %s: %w", quote(url), err)
	}
	return v, nil
}
