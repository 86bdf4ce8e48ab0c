#!/usr/bin/env bash
# Run the commands of docs/measured.md one after the other, so that its figures are of one sitting.
#   benchmarks/measured.sh OUT     (a folder: one text file for each command, and the stores of the runs)
# It takes about an hour and a half on two cores, which must have nothing else to do. Set up before:
#   make setup
#   for name in mnist5k emoji edges2emoji; do .venv/bin/atelier data prepare $name; done
#   .venv/bin/pip install --require-hashes -r requirements/peers.txt
#   .venv/bin/pip install --no-deps --require-hashes -r requirements/pythae.txt
set -euo pipefail
mkdir -p "$1"
out="$(realpath "$1")"
cd "$(dirname "$0")/.."
python=.venv/bin/python
git log -1 --format='%H %cd' >"$out/revision.txt"

# A command that fails says so and the next one begins.
record() {
  local name="$1"
  shift
  echo "$(date +%T) $name: $*"
  "$@" >"$out/$name.txt" 2>&1 || echo "$(date +%T) $name failed: $out/$name.txt"
}

record quickstart benchmarks/quickstart.sh "$out/quickstart"
reference="$(ls "$out"/quickstart/store/reference/*/attempts/*/features/train.npy | head -1)"
record small_intervals "$python" benchmarks/small_intervals.py "$reference"
record features "$python" benchmarks/judging.py features --images 256 --rounds 3
record frechet "$python" benchmarks/judging.py frechet --dim 2048 --rounds 3
record memory_inception "$python" benchmarks/judging_memory.py --looked 1024 --threads 2
record memory_small "$python" benchmarks/judging_memory.py --small
record loop "$python" benchmarks/loop.py --family dcgan --steps 400 --rounds 3
record data_path "$python" benchmarks/data_path.py --rounds 3
record precision "$python" benchmarks/families.py speed autoencoder vae dcgan diffusion
record gan_speed "$python" benchmarks/gan_speed.py dcgan wgan_gp --threads 1
record gan_speed_two_threads "$python" benchmarks/gan_speed.py dcgan wgan_gp --threads 2
record translator_speed "$python" benchmarks/gan_speed.py pix2pix cyclegan --threads 1 --rounds 3 --steps 10
record autoencoder_speed "$python" benchmarks/autoencoders.py speed --rounds 3
record preparing "$python" benchmarks/preparing.py
record plan "$python" benchmarks/plan.py --store "$out/plan"

sources=(pix2pix cyclegan palette)
latents=(vqvae kl_vae latent_diffusion)
images=(autoencoder vae gan dcgan wgan wgan_gp sngan cgan r3gan stylegan stylegan2 stylegan3 diffusion)
larger=(rrdb esrgan super_resolution inpainting)
cost() { record "$1" "$python" benchmarks/analysis_cost.py "${@:2}"; }
cost make_colour make "$out/colour" --colour --captions --sources
cost stages_colour stages "$out/colour" --families "${images[@]}" "${latents[@]}"
cost stages_sources stages "$out/colour" --families "${sources[@]}"
cost stages_text stages "$out/colour" --families diffusion latent_diffusion --text
cost make_images make "$out/images" --colour
cost stages_larger stages "$out/images" --families "${larger[@]}"
echo "$(date +%T) done: $out"
