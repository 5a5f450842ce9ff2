#include "cli.hpp"

int main(int argc, char** argv) {
    return fanfare::app::run_cli(argc, argv);
}
