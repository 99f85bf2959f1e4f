// Package differential compares Starplan with Python: the same plans, written in
// Python and in Starlark, on the same generated inputs, must give the same
// PlanResult, byte for byte once it is serialized in one way.
//
//	make test-differential
//
// testdata holds the plans in pairs, NAME.py and NAME.star, as their authors would
// write them. The Python side is Google's protobuf for Python, of the version that
// requirements.txt pins, with classes made from the very descriptors that the Go
// side uses. The test makes a virtual environment for it, once, in the user's
// cache directory, and needs python3 with venv and pip.
//
// A plan that raises in Python must fail in Starlark, and the other way round; the
// texts of errors are not compared.
package differential
