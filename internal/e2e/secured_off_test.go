//go:build !kafka

package e2e

import "starplan/internal/kafkatest"

// secure leaves the broker as it is: kfake has one way in, and no access control
// that is like Apache Kafka's.
func secure(string, *kafkatest.Options) error { return nil }
