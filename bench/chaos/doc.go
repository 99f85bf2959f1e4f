// Chaos runs the service under load while everything around it breaks, and finds
// out whether every input was answered as it was promised.
//
// It starts a real Apache Kafka and several members of one group, all of them
// processes of their own, produces inputs at a steady rate, and meanwhile kills
// members with -9, stops them with SIGTERM, lets others join and leave, kills
// and freezes the broker, kills workers and has plans reloaded. Then it compares
// what was produced with what a read_committed reader found, by package
// bench/check, which shares no code with the service.
//
//	go run ./bench/chaos                          faults, exactly once
//	go run ./bench/chaos -delivery at-least-once
//	go run ./bench/chaos -scenario recovery       how long output stops after each fault
//	go run ./bench/chaos -scenario neighbours     a slow plan beside a fast one
//	go run ./bench/chaos -scenario rolling        three brokers, restarted one by one
//
// Times and targets are drawn from -seed. The exit code is 1 where a promise was
// broken; the members' logs are kept then.
package main
