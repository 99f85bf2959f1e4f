package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"starplan/internal/rights"
	"starplan/processor"
)

// group looks at who is in the group, what they serve, and how far they are.
func (k *kafka) group(ctx context.Context) {
	name := k.config.GroupID
	subject := "group " + name
	described, err := k.admin.DescribeGroups(ctx, name)
	group := described[name]
	if err == nil {
		err = group.Err
	}
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return // The right that is missing is told of with the others.
	case errors.Is(err, kerr.GroupIDNotFound), err == nil && len(group.Members) == 0:
		if other := k.otherProtocol(ctx, name); other != "" {
			k.tell(Finding{subject, Fail, other, "choose another KAFKA_GROUP_ID, or stop its members first"})
			return
		}
	case err != nil:
		k.tell(Finding{subject, Fail, err.Error(), "see the broker's log"})
		return
	}
	k.members(group, subject)
	k.offsets(ctx, name)
}

// otherProtocol says that a group is one of another protocol (KIP-848), of which
// the request for classic groups knows nothing; empty where there is no such group.
func (k *kafka) otherProtocol(ctx context.Context, name string) string {
	resp, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, k.client)
	if err != nil {
		return ""
	}
	for _, g := range resp.Groups {
		if g.Group == name && g.GroupType != "" && !strings.EqualFold(g.GroupType, "classic") && g.GroupState != "Empty" {
			return fmt.Sprintf("its members are no starplan: it is a group of type %s", g.GroupType)
		}
	}
	return ""
}

// members looks at who is in the group.
func (k *kafka) members(group kadm.DescribedGroup, subject string) {
	if len(group.Members) == 0 {
		k.tell(Finding{Subject: subject, Status: OK, Detail: "has no members"})
		return
	}
	hosts := make([]string, len(group.Members))
	for i, m := range group.Members {
		// Apache Kafka writes addresses as Java does, behind a slash.
		hosts[i] = m.ClientID + " at " + strings.TrimPrefix(m.ClientHost, "/")
	}
	slices.Sort(hosts)
	detail := fmt.Sprintf("%s; members: %s", strings.ToLower(group.State), strings.Join(hosts, ", "))
	want := processor.Assignor(k.config.Serving())
	switch {
	case group.Protocol == want, group.Protocol == "" && group.ProtocolType == "consumer":
		// A group that is just forming has no assignor yet.
		k.tell(Finding{Subject: subject, Status: OK, Detail: detail})
	case processor.IsAssignor(group.Protocol):
		k.tell(Finding{
			subject, Fail, fmt.Sprintf("%s; they serve other plans than this configuration (assignor %s, here %s)", detail, group.Protocol, want),
			"choose another KAFKA_GROUP_ID, or stop those members first: PLAN_NAME and GRAPH_ID are the same for all members of a group",
		})
	default:
		k.tell(Finding{
			subject, Fail, fmt.Sprintf("%s; they are no starplan, but executors-py or another consumer (protocol %s, assignor %s)", detail, group.ProtocolType, group.Protocol),
			"stop those members first, or choose another KAFKA_GROUP_ID, with KAFKA_START=group:" + group.Group + " to take over from them",
		})
	}
}

// offsets looks at what the group has committed, or where it will begin.
func (k *kafka) offsets(ctx context.Context, name string) {
	input := processor.InputTopic(k.config.TenantID)
	ends, err := k.admin.ListEndOffsets(ctx, input)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return // There is no such topic, or it may not be read.
	}
	subject := "offsets of group " + name
	committed, total, lag, err := k.committed(ctx, name, ends[input])
	switch {
	case err != nil:
		k.tell(Finding{Subject: subject, Status: Note, Detail: "cannot be looked at: " + err.Error()})
	case committed == 0:
		k.tell(Finding{Subject: subject, Status: OK, Detail: fmt.Sprintf("none; it begins at %v (KAFKA_START)", k.config.Start)})
		k.start(ctx, ends[input])
	case committed == total:
		k.tell(Finding{Subject: subject, Status: OK, Detail: fmt.Sprintf("committed on %d of %d partitions, lag of %d records", committed, total, lag)})
	default:
		k.tell(Finding{Subject: subject, Status: OK, Detail: fmt.Sprintf("committed on %d of %d partitions, lag of %d records there; the others begin at %v (KAFKA_START)", committed, total, lag, k.config.Start)})
		k.start(ctx, ends[input])
	}
}

// committed counts the partitions on which a group has offsets, and how many records
// there are beyond them.
func (k *kafka) committed(ctx context.Context, group string, ends map[int32]kadm.ListedOffset) (committed, total int, lag int64, err error) {
	offsets, err := k.admin.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		offsets, err = nil, nil
	}
	for _, end := range ends {
		total++
		if at, ok := offsets.Lookup(end.Topic, end.Partition); ok && at.Err == nil && at.At >= 0 {
			committed++
			lag += max(0, end.Offset-at.At)
		}
	}
	return committed, total, lag, err
}

// start looks at the group whose offsets are to be taken over.
func (k *kafka) start(ctx context.Context, ends map[int32]kadm.ListedOffset) {
	other := k.config.Start.Group()
	if other == "" {
		return
	}
	subject := "offsets of group " + other
	committed, total, lag, err := k.committed(ctx, other, ends)
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		k.tell(Finding{subject, Fail, "may not be seen, and KAFKA_START names them", rights.Remedy(k.principal, rights.DescribeGroup(other))})
	case err != nil:
		k.tell(Finding{Subject: subject, Status: Note, Detail: "cannot be looked at: " + err.Error()})
	case committed == 0:
		k.tell(Finding{subject, Note, "there are none, so the oldest records come first", "correct KAFKA_START, if another group is meant"})
	default:
		k.tell(Finding{Subject: subject, Status: OK, Detail: fmt.Sprintf("committed on %d of %d partitions, %d records beyond them", committed, total, lag)})
	}
}
