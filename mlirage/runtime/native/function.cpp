// Calling functions: what runs for every inference is written against CPython directly
// (vectorcall, buffer protocol).
#include "function.h"

#include <structmember.h>

#include <cstddef>

namespace mlirage::python {

namespace {

PyObject* raise_count(const FunctionState& state, Py_ssize_t given) {
  Ref names(PyList_New(0));
  for (const auto& argument : state.arguments) {
    if (!names || PyList_Append(names.object, argument.name.object) != 0) return nullptr;
  }
  Ref comma(PyUnicode_FromString(", "));
  Ref list(comma ? PyUnicode_Join(comma.object, names.object) : nullptr);
  if (!list) return nullptr;
  PyErr_Format(g_python->usage_error, "%s() takes %zu argument%s (%U), got %zd", state.function.name,
               state.arguments.size(), state.arguments.size() == 1 ? "" : "s", list.object, given);
  return nullptr;
}

// Fills |ordered| with the arguments by position and by name.
bool order_arguments(const FunctionState& state, PyObject* const* args, size_t positional, PyObject* names,
                     std::vector<PyObject*>* ordered) {
  const auto named = static_cast<size_t>(PyTuple_GET_SIZE(names));
  ordered->assign(state.arguments.size(), nullptr);
  for (size_t i = 0; i < positional && i < ordered->size(); ++i) (*ordered)[i] = args[i];
  for (size_t k = 0; k < named; ++k) {
    PyObject* name = PyTuple_GET_ITEM(names, static_cast<Py_ssize_t>(k));
    size_t i = 0;
    while (i < ordered->size() && PyUnicode_Compare(state.arguments[i].name.object, name) != 0) ++i;
    if (i == ordered->size() || (*ordered)[i] != nullptr) {
      PyErr_Format(g_python->usage_error,
                   i == ordered->size() ? "%s() has no argument '%U'" : "%s() got argument '%U' twice",
                   state.function.name, name);
      return false;
    }
    (*ordered)[i] = args[positional + k];
  }
  for (size_t i = 0; i < ordered->size(); ++i) {
    if ((*ordered)[i] != nullptr) continue;
    PyErr_Format(g_python->usage_error, "%s() misses argument '%U'", state.function.name,
                 state.arguments[i].name.object);
    return false;
  }
  return true;
}

PyObject* call_flat(const FunctionState& state, PyObject* const* args) {
  const size_t count = state.arguments.size();
  Views arguments(count);
  Views results(state.results.size());
  Ref wrap;
  for (size_t i = 0; i < count; ++i) {
    if (!take_argument(state, state.arguments[i], args[i], &arguments.values[i], &wrap)) return nullptr;
  }
  if (!check_symbols(state, arguments)) return nullptr;
  mlirage_error_t error;
  error.text[0] = '\0';
  PyThreadState* thread = PyEval_SaveThread();
  const mlirage_status_t status =
      mlirage_session_call(state.session->session, &state.function, count, arguments.values.data(),
                           results.values.size(), results.values.data(), &error);
  PyEval_RestoreThread(thread);
  if (status != MLIRAGE_OK) {
    set_error(status, error);
    return nullptr;
  }
  return make_results(state, arguments, results, wrap);
}

PyObject* call_tree(const FunctionState& state, PyObject* const* args, size_t positional, PyObject* names) {
  Ref tuple(PyTuple_New(static_cast<Py_ssize_t>(positional)));
  Ref dictionary(PyDict_New());
  if (!tuple || !dictionary) return nullptr;
  for (size_t i = 0; i < positional; ++i) {
    PyTuple_SET_ITEM(tuple.object, static_cast<Py_ssize_t>(i), Py_NewRef(args[i]));
  }
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (Py_ssize_t k = 0; k < named; ++k) {
    if (PyDict_SetItem(dictionary.object, PyTuple_GET_ITEM(names, k), args[positional + static_cast<size_t>(k)]) != 0) {
      return nullptr;
    }
  }
  Ref flat(PyObject_CallFunctionObjArgs(state.flatten.object, tuple.object, dictionary.object, nullptr));
  if (!flat) return nullptr;
  Ref list(PySequence_Fast(flat.object, "flatten gives a sequence"));
  if (!list) return nullptr;
  if (static_cast<size_t>(PySequence_Fast_GET_SIZE(list.object)) != state.arguments.size()) {
    return raise_count(state, PySequence_Fast_GET_SIZE(list.object));
  }
  return call_flat(state, PySequence_Fast_ITEMS(list.object));
}

void function_deallocate(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<Function*>(self)->state;
  PyObject_Free(self);
  Py_DECREF(type);
}

PyObject* function_repr(PyObject* self) {
  return PyUnicode_FromFormat("<mlirage function %s>", reinterpret_cast<Function*>(self)->state->function.name);
}

PyObject* function_name(PyObject* self, void*) {
  return PyUnicode_FromString(reinterpret_cast<Function*>(self)->state->function.name);
}

PyMemberDef function_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Function, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyGetSetDef function_properties[] = {
    {"__name__", function_name, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyType_Slot function_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(function_deallocate)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_repr, reinterpret_cast<void*>(function_repr)},
    {Py_tp_members, function_members},
    {Py_tp_getset, function_properties},
    {Py_tp_doc, const_cast<char*>("A function of a loaded module: arrays in, a tuple of arrays out.")},
    {0, nullptr},
};

}  // namespace

PyObject* function_call(PyObject* self, PyObject* const* args, size_t flagged_count, PyObject* names) {
  const FunctionState& state = *reinterpret_cast<Function*>(self)->state;
  const auto positional = static_cast<size_t>(PyVectorcall_NARGS(flagged_count));
  const size_t named = names == nullptr ? 0 : static_cast<size_t>(PyTuple_GET_SIZE(names));
  PyObject* results = nullptr;
  if (state.flatten) {
    results = call_tree(state, args, positional, names);
  } else if (positional + named != state.arguments.size()) {
    return raise_count(state, static_cast<Py_ssize_t>(positional + named));
  } else if (named == 0) {
    results = call_flat(state, args);
  } else {
    std::vector<PyObject*> ordered;
    if (!order_arguments(state, args, positional, names, &ordered)) return nullptr;
    results = call_flat(state, ordered.data());
  }
  if (results == nullptr || !state.unflatten) return results;
  Ref flat(results);
  return PyObject_CallOneArg(state.unflatten.object, flat.object);
}

PyType_Spec function_spec = {"mlirage.runtime._runtime.Function", sizeof(Function), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                             function_slots};

}  // namespace mlirage::python
