"""Files of COCO-Stuff164k. Training: train2017, 118287 images."""

coco = dict(type="COCOStuffDataset", data_root="{{$DATA_ROOT:data}}/coco_stuff164k")
files = dict(
    train=dict(**coco, data_prefix=dict(img_path="images/train2017", seg_map_path="annotations/train2017")),
    test=dict(**coco, data_prefix=dict(img_path="images/val2017", seg_map_path="annotations/val2017")),
)
