// Package pbjson renders messages as JSON for people, and reads them back.
//
// It is protojson with proto field names and stable bytes, and with one
// difference. An Any whose payload protojson cannot render, because nobody knows
// its type or because the bytes are no such message, is an error there; traffic
// holds such payloads all the same, and Starplan passes them through untouched.
// Here they are written, and read, as the two fields that they are:
//
//	{"type_url": "type.googleapis.com/…", "value": "<base64>"}
package pbjson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Marshal renders m on one line. The same message gives the same bytes. m is not
// changed. It fails where m holds a string that is no UTF-8.
func Marshal(m proto.Message) ([]byte, error) {
	clone := proto.Clone(m)
	var raw []*anypb.Any
	err := eachAny(clone, func(a *anypb.Any) error {
		if renderable(a) {
			return nil
		}
		raw = append(raw, &anypb.Any{TypeUrl: a.GetTypeUrl(), Value: a.GetValue()})
		return a.MarshalFrom(wrapperspb.String(placeholder(len(raw) - 1)))
	})
	if err != nil {
		return nil, fmt.Errorf("pbjson: %w", err)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(clone)
	if err != nil {
		return nil, fmt.Errorf("pbjson: %w", err)
	}
	var out bytes.Buffer
	// protojson varies its spaces on purpose; compacting makes them stable.
	if err := json.Compact(&out, text); err != nil {
		return nil, fmt.Errorf("pbjson: %w", err)
	}
	text = out.Bytes()
	for i, a := range raw {
		want := fmt.Appendf(nil, `{"@type":"type.googleapis.com/google.protobuf.StringValue","value":"%s"}`, placeholder(i))
		text = bytes.Replace(text, want, rawJSON(a), 1)
	}
	return text, nil
}

// Unmarshal reads what Marshal writes, and plain protojson. Unknown fields are
// an error, so that a misspelt one is found.
func Unmarshal(text []byte, m proto.Message) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return fmt.Errorf("pbjson: %w", err)
	}
	if dec.More() {
		return errors.New("pbjson: more than one JSON value")
	}
	var raw []*anypb.Any
	tree, err := takeRaw(tree, &raw)
	if err != nil {
		return fmt.Errorf("pbjson: %w", err)
	}
	// Without raw payloads the text goes to protojson as it came, for its
	// messages name line and column.
	if len(raw) > 0 {
		if text, err = json.Marshal(tree); err != nil {
			return fmt.Errorf("pbjson: %w", err)
		}
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		return fmt.Errorf("pbjson: %w", err)
	}
	if len(raw) == 0 {
		return nil
	}
	return eachAny(m, func(a *anypb.Any) error {
		var s wrapperspb.StringValue
		if a.UnmarshalTo(&s) != nil {
			return nil
		}
		for i, r := range raw {
			if s.GetValue() == placeholder(i) {
				a.TypeUrl, a.Value = r.GetTypeUrl(), r.GetValue()
			}
		}
		return nil
	})
}

// placeholder stands for a raw payload while protojson does its work. It starts
// with a private-use character, so that no sane payload looks like it.
func placeholder(i int) string { return "\uE000starplan-payload-" + strconv.Itoa(i) }

func rawJSON(a *anypb.Any) []byte {
	text, err := json.Marshal(rawPayload{TypeURL: a.GetTypeUrl(), Value: a.GetValue()})
	if err != nil {
		return []byte("null") // Two strings always encode.
	}
	return text
}

type rawPayload struct {
	TypeURL string `json:"type_url"`
	Value   []byte `json:"value"`
}

// takeRaw replaces every {"type_url", "value"} object in tree and collects what
// they held.
func takeRaw(tree any, raw *[]*anypb.Any) (any, error) {
	switch t := tree.(type) {
	case []any:
		for i := range t {
			v, err := takeRaw(t[i], raw)
			if err != nil {
				return nil, err
			}
			t[i] = v
		}
	case map[string]any:
		if url, ok := t["type_url"].(string); ok && len(t) <= 2 {
			value, _ := t["value"].(string)
			payload, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return nil, fmt.Errorf("value of payload %q: want base64: %w", url, err)
			}
			*raw = append(*raw, &anypb.Any{TypeUrl: url, Value: payload})
			return map[string]any{
				"@type": "type.googleapis.com/google.protobuf.StringValue",
				"value": placeholder(len(*raw) - 1),
			}, nil
		}
		for k := range t {
			v, err := takeRaw(t[k], raw)
			if err != nil {
				return nil, err
			}
			t[k] = v
		}
	}
	return tree, nil
}

// renderable reports whether protojson can write a, payloads within it included.
func renderable(a *anypb.Any) bool {
	if a.GetTypeUrl() == "" && len(a.GetValue()) == 0 {
		return true
	}
	_, err := protojson.Marshal(a)
	return err == nil
}

// eachAny calls fn for every Any in m that is a message of its own; it does not
// look into their payloads.
func eachAny(m proto.Message, fn func(*anypb.Any) error) error {
	opts := protorange.Options{Stable: true, Resolver: noResolver{}}
	return opts.Range(m.ProtoReflect(), func(v protopath.Values) error {
		msg, ok := v.Index(-1).Value.Interface().(protoreflect.Message)
		if !ok {
			return nil
		}
		if a, ok := msg.Interface().(*anypb.Any); ok {
			if err := fn(a); err != nil {
				return err
			}
			return protorange.Break
		}
		return nil
	}, nil)
}

// noResolver keeps the walk from expanding payloads.
type noResolver struct{}

func (noResolver) FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return nil, protoregistry.NotFound
}

func (noResolver) FindExtensionByNumber(protoreflect.FullName, protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return nil, protoregistry.NotFound
}

func (noResolver) FindMessageByName(protoreflect.FullName) (protoreflect.MessageType, error) {
	return nil, protoregistry.NotFound
}

func (noResolver) FindMessageByURL(string) (protoreflect.MessageType, error) {
	return nil, protoregistry.NotFound
}
