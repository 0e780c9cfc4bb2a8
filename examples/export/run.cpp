// Energy and forces from an exported potential, in C++.
//
//   ./run potential.pt2 < structure.txt
//
// structure.txt: "atoms edges", then for each atom "z x y w", for each edge "j i a b c" (from neighbour j to centre i,
// with the whole cells a b c between them), then the three cell vectors, then for each smaller cutoff the number of edges
// within it and which. Prints the energy and one force a line.
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/torch.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: run potential.pt2 < structure.txt\n";
    return 1;
  }
  int64_t atoms, edges;
  std::cin >> atoms >> edges;
  const auto real = torch::dtype(torch::kFloat64), whole = torch::dtype(torch::kInt64);
  auto z = torch::empty({atoms}, whole), edge_index = torch::empty({2, edges}, whole);
  auto pos = torch::empty({atoms, 3}, real), cell = torch::empty({3, 3}, real);
  auto shifts = torch::empty({edges, 3}, whole);
  for (int64_t i = 0; i < atoms; ++i) {
    std::cin >> z.data_ptr<int64_t>()[i];
    for (int k = 0; k < 3; ++k) std::cin >> pos.data_ptr<double>()[3 * i + k];
  }
  for (int64_t e = 0; e < edges; ++e) {
    std::cin >> edge_index.data_ptr<int64_t>()[e] >> edge_index.data_ptr<int64_t>()[edges + e];
    for (int k = 0; k < 3; ++k) std::cin >> shifts.data_ptr<int64_t>()[3 * e + k];
  }
  for (int k = 0; k < 9; ++k) std::cin >> cell.data_ptr<double>()[k];
  if (!std::cin) {
    std::cerr << "structure.txt is not complete\n";
    return 1;
  }

  std::vector<at::Tensor> inputs{z, pos, edge_index, shifts, cell};  // the order of Potential.export
  for (int64_t count; std::cin >> count;) {
    auto near = torch::empty({count}, whole);
    for (int64_t k = 0; k < count; ++k) std::cin >> near.data_ptr<int64_t>()[k];
    if (!std::cin) {
      std::cerr << "structure.txt ends within a list of edges\n";
      return 1;
    }
    inputs.push_back(near);
  }

  setenv("AOTI_RUNTIME_CHECK_INPUTS", "1", 1);  // refuse tensors of another dtype or shape
  torch::inductor::AOTIModelPackageLoader potential(argv[1]);
  const auto results = potential.run(inputs);
  std::printf("%.12f\n", results[0].item<double>());
  const auto forces = results[1].contiguous();
  for (int64_t i = 0; i < atoms; ++i) {
    const double* f = forces.data_ptr<double>() + 3 * i;
    std::printf("%.12f %.12f %.12f\n", f[0], f[1], f[2]);
  }
}
