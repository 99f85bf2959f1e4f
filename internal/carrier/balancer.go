package carrier

import "github.com/twmb/franz-go/pkg/kgo"

// Balancer is franz-go's cooperative-sticky balancer under another name. The
// broker lets members into one group only if they have a balancer's name in
// common, so the name says with whom a member may share its work; others get
// INCONSISTENT_GROUP_PROTOCOL.
func Balancer(name string) kgo.GroupBalancer {
	return &balancer{GroupBalancer: kgo.CooperativeStickyBalancer(), name: name}
}

type balancer struct {
	kgo.GroupBalancer
	name string
}

// ProtocolName is the name that members must share.
func (b *balancer) ProtocolName() string { return b.name }
